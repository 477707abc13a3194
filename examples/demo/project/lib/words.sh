# One word a line, in lower case.
words() {
  tr -cs '[:alnum:]' '\n' | tr '[:upper:]' '[:lower:]' | sed '/^$/d'
}

# The number of lines.
count() {
  wc -l | tr -d ' '
}
