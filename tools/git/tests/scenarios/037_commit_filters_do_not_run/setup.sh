printf "one\ntwo\nthree\n" > a.txt
mkdir src && printf "fn main() {}\n" > src/main.rs
git add -A && git commit -qm "first commit"
git config filter.evil.clean "touch ran; cat"
git config core.autocrlf true
printf "* filter=evil text\n" > .gitattributes
printf "a\r\n" > a.txt
