printf "one\ntwo\nthree\n" > a.txt
mkdir src && printf "fn main() {}\n" > src/main.rs
git add -A && git commit -qm "first commit"
printf x > "[a].txt"
printf changed > a.txt
