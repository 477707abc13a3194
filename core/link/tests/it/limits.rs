//! The limited reader passes everything through, however it is cut, until a limit is exceeded.

use proptest::prelude::*;
use pullwright_link::{LimitedReader, LineLimits};
use tokio::io::AsyncReadExt;

const LIMITS: LineLimits = LineLimits {
    max_line_bytes: 64,
    max_junk_lines: 2,
    max_unasked_lines: Some(20),
    max_depth: 3,
};

fn read(pieces: Vec<Vec<u8>>) -> std::io::Result<Vec<u8>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        let mut mock = tokio_test_reader(pieces);
        let mut read = Vec::new();
        LimitedReader::new(&mut mock, LIMITS)
            .read_to_end(&mut read)
            .await?;
        Ok(read)
    })
}

/// A reader that gives exactly these pieces.
fn tokio_test_reader(pieces: Vec<Vec<u8>>) -> impl tokio::io::AsyncRead + Unpin {
    pieces.into_iter().fold(
        Box::new(tokio::io::empty()) as Box<dyn tokio::io::AsyncRead + Unpin>,
        |reader, piece| Box::new(reader.chain(std::io::Cursor::new(piece))),
    )
}

fn cut(bytes: &[u8], piece: usize) -> Vec<Vec<u8>> {
    bytes.chunks(piece).map(<[u8]>::to_vec).collect()
}

#[test]
fn a_mark_that_starts_twice_is_found() {
    let line = br#"{"json":1,""jsonrpc":2}"#;
    let mut text = line.to_vec();
    text.push(b'\n');
    let many = text.repeat(10);
    assert_eq!(read(cut(&many, 1)).unwrap(), many);
}

#[test]
fn junk_lines_count_only_in_a_row() {
    let good = "{\"jsonrpc\":\"2.0\"}\n";
    let fine = format!("a\nb\n{good}c\nd\n{good}").repeat(3);
    assert_eq!(read(cut(fine.as_bytes(), 3)).unwrap(), fine.as_bytes());
    let error = read(cut(b"a\nb\nc\n", 2)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "more than 2 lines in a row are not JSON-RPC messages"
    );
}

#[test]
fn a_message_may_be_as_deep_as_the_limit_and_no_deeper() {
    let fine = b"{\"jsonrpc\":[{}],\"a\":[[]]}\n{\"jsonrpc\":\"[[[[\\\"[[[[\"}\n";
    assert_eq!(read(cut(fine, 5)).unwrap(), fine);
    let deep = b"{\"jsonrpc\":[[[]]]}\n";
    let error = read(cut(deep, 5)).unwrap_err();
    assert_eq!(error.to_string(), "a message is nested deeper than 3");
}

#[tokio::test]
async fn lines_nobody_asked_for_count_until_something_is_asked() {
    let line = b"{\"jsonrpc\":\"2.0\"}\n";
    let mut reader = LimitedReader::new(std::io::Cursor::new(line.repeat(41)), LIMITS);
    let asked = reader.asked();
    let mut buffer = vec![0; line.len() * 20];
    reader.read_exact(&mut buffer).await.unwrap();
    asked.now();
    reader.read_exact(&mut buffer).await.unwrap();
    let error = reader.read_exact(&mut buffer[..line.len()]).await;
    assert_eq!(
        error.unwrap_err().to_string(),
        "more than 20 lines came since anything was asked"
    );
}

#[test]
fn a_line_may_have_the_longest_length_and_not_a_byte_more() {
    let longest = [vec![b'x'; 64], b"\n".to_vec()].concat();
    assert_eq!(read(cut(&longest, 7)).unwrap(), longest);
    let error = read(cut(&[b'x'; 65], 7)).unwrap_err();
    assert_eq!(error.to_string(), "a line is longer than 64 bytes");
}

proptest! {
    #[test]
    fn the_verdict_does_not_depend_on_the_cutting(
        bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'{'), Just(b'"'), Just(b'j'), any::<u8>()], 0..300),
        piece in 1_usize..50,
    ) {
        let whole = read(vec![bytes.clone()]).map_err(|error| error.to_string());
        let pieces = read(cut(&bytes, piece)).map_err(|error| error.to_string());
        // Which of two limits is seen first depends on it, whether one is passed does not.
        prop_assert_eq!(whole.is_ok(), pieces.is_ok());
        if let Ok(read) = whole {
            prop_assert_eq!(read, bytes);
        }
    }
}
