printf "one\n" > a
git add -A && git commit -qm base
git checkout -qb side
printf "side\n" > a
git commit -qam side
git checkout -q main
printf "main\n" > a
git commit -qam main
git merge -q side > /dev/null || true
