printf "one\ntwo\nthree\n" > a.txt
mkdir src && printf "fn main() {}\n" > src/main.rs
git add -A && git commit -qm "first commit"
ln -s a.txt link
printf x > "é"
git update-index --add --cacheinfo 160000,1234567890123456789012345678901234567890,module
git add link "é" && git commit -qm second
