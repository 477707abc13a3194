printf "one\ntwo\nthree\n" > a.txt
mkdir src && printf "fn main() {}\n" > src/main.rs
git add -A && git commit -qm "first commit"
mkdir d && printf x > d/x && printf y > d/y
git add -A && git commit -qm second
rm -rf d
printf changed > a.txt
