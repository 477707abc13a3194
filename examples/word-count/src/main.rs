//! The tools over standard input and output.

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    pullwright_tool_kit::serve_stdio(word_count::server()).await
}
