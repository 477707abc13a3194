fn main() {
    helper();
}
