printf "one\ntwo\nthree\n" > a.txt
mkdir src && printf "fn main() {}\n" > src/main.rs
git add -A && git commit -qm "first commit"
printf "one\r\n" > a.txt
rm src/main.rs
printf x > new
printf "#!/bin/sh\nexit 1\n" > .git/hooks/pre-commit
chmod +x .git/hooks/pre-commit
