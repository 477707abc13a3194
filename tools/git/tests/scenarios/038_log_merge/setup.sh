printf "one\n" > a
git add -A && git commit -qm base
git checkout -qb side
printf s > s
git add -A && git commit -qm side
git checkout -q main
printf m > m
git add -A && git commit -qm main
git merge -q --no-edit side
