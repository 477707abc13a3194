printf "one\ntwo\nthree\n" > a.txt
mkdir src && printf "fn main() {}\n" > src/main.rs
git add -A && git commit -qm "first commit"
printf "\0\1\2" > data.bin
ln -s a.txt link
chmod +x a.txt
