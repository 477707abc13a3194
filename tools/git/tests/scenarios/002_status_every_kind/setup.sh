printf "one\ntwo\nthree\n" > a.txt
mkdir src && printf "fn main() {}\n" > src/main.rs
git add -A && git commit -qm "first commit"
printf x > staged.txt && git add staged.txt
printf "one\nTWO\nthree\n" > a.txt
rm src/main.rs
mkdir new && printf x > new/file && printf x > "ta	b"
printf "*.log\n" > .git/info/exclude && printf x > noise.log
