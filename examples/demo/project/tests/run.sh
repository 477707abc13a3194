#!/bin/sh
# Runs every case and says which ones fail.
cd "$(dirname "$0")/.." || exit 1
failed=0

# expect NAME INPUT EXPECTED OPTION...
expect() {
  name=$1 input=$2 expected=$3
  shift 3
  actual=$(printf '%b' "$input" | sh ./tally "$@")
  if [ "$actual" = "$expected" ]; then
    echo "ok   $name"
  else
    echo "FAIL $name: expected '$expected', got '$actual'"
    failed=1
  fi
}

expect "counts words" "one two  three\n" 3
expect "knows no case" "One one ONE\n" 1 --unique
expect "takes punctuation as space" "a,b;c\n" 3

exit $failed
