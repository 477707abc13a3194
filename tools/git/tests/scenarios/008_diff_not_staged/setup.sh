printf "one\ntwo\nthree\n" > a.txt
mkdir src && printf "fn main() {}\n" > src/main.rs
git add -A && git commit -qm "first commit"
printf "one\nTWO\nthree\n" > a.txt
git add a.txt
printf "one\nTWO\nTHREE\n" > a.txt
