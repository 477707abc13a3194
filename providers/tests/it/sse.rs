//! Server-sent events, however they are cut.

use proptest::prelude::*;
use pullwright_providers::SseParser;

fn events(bytes: &[u8], piece: usize) -> Vec<String> {
    let mut parser = SseParser::default();
    let mut events = Vec::new();
    for piece in bytes.chunks(piece) {
        parser
            .push(piece, |event| {
                events.push(String::from_utf8_lossy(&event).into_owned())
            })
            .unwrap();
    }
    events
}

#[test]
fn the_rules_of_the_format() {
    let cases: [(&str, &[&str]); 9] = [
        ("data: a\n\n", &["a"]),
        ("data:a\ndata: b\n\n", &["a\nb"]),
        ("data\n\n", &[""]),
        ("\n\n: comment\n\ndata: a\n\n", &["a"]),
        ("event: x\nid: 1\nretry: 5\ndatabase: no\n\n", &[]),
        ("data:  two spaces\r\n\r\n", &[" two spaces"]),
        ("data: a\r\rdata: b\r\r", &["a", "b"]),
        ("\u{FEFF}data: a\n\ndata: é\n\n", &["a", "é"]),
        ("data: not complete\n", &[]),
    ];
    for (text, expected) in cases {
        for piece in 1..=text.len() {
            assert_eq!(
                events(text.as_bytes(), piece),
                expected,
                "{text:?} in pieces of {piece}"
            );
        }
    }
}

#[test]
fn an_endless_event_is_refused() {
    let mut parser = SseParser::default();
    let megabyte = vec![b'x'; 1024 * 1024];
    let refused = (0..40).find(|_| parser.push(&megabyte, |_| panic!("no event")).is_err());
    assert_eq!(refused, Some(32));
}

proptest! {
    #[test]
    fn any_text_survives_any_cutting_and_any_line_end(
        texts in proptest::collection::vec("[^\r\n]{0,20}(\n[^\r\n]{0,20}){0,3}", 0..8),
        end in prop_oneof![Just("\n"), Just("\r\n"), Just("\r")],
        piece in 1_usize..40,
    ) {
        let mut stream = String::new();
        for text in &texts {
            stream += &format!(": noise{end}event: e{end}");
            for line in text.split('\n') {
                stream += &format!("data: {line}{end}");
            }
            stream += end;
        }
        prop_assert_eq!(events(stream.as_bytes(), piece), texts);
    }

    #[test]
    fn garbage_never_depends_on_the_cutting(
        bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b':'), Just(b' '), any::<u8>()], 0..200),
        piece in 1_usize..40,
    ) {
        prop_assert_eq!(events(&bytes, piece), events(&bytes, 1000));
    }
}
