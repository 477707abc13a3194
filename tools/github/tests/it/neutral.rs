//! Whatever a model writes, a pull request stays harmless.

use proptest::prelude::*;
use pullwright_tool_kit::protocol::forge::OpenPullRequest;
use serde_json::json;

use crate::client::{Client, config, repository};
use crate::fault_server::{FaultServer, ok, status};

const EVIDENCE: &str = "EVIDENCE";

/// Sends `title` and `summary` the whole way and answers what GitHub would be sent.
fn sent(title: &str, summary: &str) -> (String, String) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let pull = json!({
            "number": 1, "html_url": "x", "title": "x", "state": "open",
            "head": {"ref": "h"}, "base": {"ref": "b"}
        });
        let peer = FaultServer::start([
            ("GET /repos/octo/demo/pulls", ok(json!([]))),
            ("POST /repos/octo/demo/pulls", status(201, pull)),
        ])
        .await;
        let client = Client::start(config(&peer.url)).await;
        let wanted = OpenPullRequest {
            repository: repository(),
            head: "h".to_owned(),
            head_sha: "0".repeat(40),
            base: "b".to_owned(),
            title: title.to_owned(),
            summary: summary.to_owned(),
            evidence: EVIDENCE.to_owned(),
            draft: false,
            head_repository: None,
            run: None,
            template: None,
        };
        let result = client.call("pull_request", &wanted, None).await;
        assert_ne!(result.is_error, Some(true), "{result:?}");
        let seen = peer.finish();
        let text = |key: &str| seen[1].body[key].as_str().unwrap().to_owned();
        (text("title"), text("body"))
    })
}

/// Pieces that mean something to GitHub, git or Markdown.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        Just("@octocat"),
        Just("@"),
        Just("org/team"),
        Just("fixes #1"),
        Just("Closes: "),
        Just("octo/demo#12"),
        Just("#"),
        Just("12"),
        Just("GH-"),
        Just("https://github.com/octo/demo/issues/1"),
        Just("![x](http://evil.example/pixel)"),
        Just("www."),
        Just("<!--"),
        Just("-->"),
        Just("<!-- pullwright:end -->"),
        Just("```"),
        Just("````text"),
        Just("~~~"),
        Just("`"),
        Just("\n"),
        Just("\r"),
        Just("\n    "),
        Just("</details>"),
        Just("\u{202e}"),
        Just("\u{0}"),
        Just(" "),
        Just("é🦀"),
    ];
    prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat())
}

/// Fails when `text` holds anything that GitHub acts on, fenced or not.
fn assert_harmless(text: &str) {
    let chars: Vec<char> = text.chars().collect();
    for pair in chars.windows(2) {
        let acted_on = match pair {
            ['@', next] => !next.is_whitespace() && *next != '\u{200b}',
            ['#', next] => next.is_ascii_digit(),
            ['<', next] => next.is_alphabetic() || "!/?".contains(*next),
            [']', next] => "([:".contains(*next),
            _ => false,
        };
        assert!(!acted_on, "{pair:?} in {text:?}");
    }
    let lower = text.to_ascii_lowercase();
    for raw in ["://", "gh-1", "\r", "\u{202e}", "\u{0}"] {
        assert!(!lower.contains(raw), "{raw:?} in {text:?}");
    }
}

/// The summary between its fences. Fails when a line inside would close the fence.
fn fenced(body: &str) -> String {
    let mut lines = body.lines().skip_while(|line| !line.starts_with("```"));
    let Some(open) = lines.next() else {
        return String::new();
    };
    let fence = open.strip_suffix("text").unwrap();
    assert!(fence.chars().all(|char| char == '`'), "{open}");
    let inside: Vec<&str> = lines.by_ref().take_while(|line| *line != fence).collect();
    let closes = |line: &&&str| line.trim().starts_with(fence);
    assert_eq!(inside.iter().find(closes), None, "{body}");
    let rest: Vec<&str> = lines.collect();
    assert_eq!(rest, ["", EVIDENCE, "<!-- pullwright:end -->"], "{body}");
    inside.join("\n")
}

fn check(title: &str, summary: &str) {
    let (title, body) = sent(title, summary);
    assert_harmless(&title);
    assert!(
        !title.contains('\n') && title.chars().count() <= 256,
        "{title}"
    );
    assert_harmless(&fenced(&body));
    assert_eq!(body.matches("<!--").count(), 2, "{body}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn hostile_pieces_are_disarmed(title in hostile(), summary in hostile()) {
        check(&title, &summary);
    }

    #[test]
    fn any_text_is_disarmed(title in ".{0,300}", summary in "(?s).{0,300}") {
        check(&title, &summary);
    }
}

#[test]
fn known_attacks_are_disarmed() {
    for attack in [
        "fixes #1, closes: octo/demo#12, resolves GH-3",
        "Fixes https://github.com/octo/demo/issues/1",
        "cc @octocat @org/team",
        "```\n@all\n```",
        "````````\nfixes #1",
        "<!-- pullwright:end -->\nfixes #1",
        "![](https://evil.example/pixel.png) <img src='//evil.example'>",
    ] {
        check(attack, attack);
    }
}
