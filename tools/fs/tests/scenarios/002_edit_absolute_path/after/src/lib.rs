fn one() {
    1
}

fn three() {
    2
}
