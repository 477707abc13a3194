//! The server that a repository is fetched from is the attack. Those that stall, or advertise without end, are in
//! `fetch.rs`, those that want another's credential in `secrecy.rs`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use pullwright_core::source::SourceError;
use pullwright_protocol::FailureKind;
use pullwright_source::{GitSource, SourceConfig, Timeouts};

use super::liar::{Asked, Liar, greeting, line, not_found, one_branch, smart};
use super::plant::{self, blob, folder};
use super::trap::Trap;
use crate::lab::{fetch, git, text, token};

impl Trap {
    async fn fetch_from(&self, server: &Liar, more_hosts: &[String]) -> SourceError {
        let timeouts = Timeouts {
            fetch: Duration::from_secs(30),
            ..Timeouts::default()
        };
        let mut hosts = more_hosts.to_vec();
        hosts.push(server.host());
        let source = GitSource::new(SourceConfig {
            timeouts,
            max_clone_bytes: 8 << 20,
            ..self.lab.config(&hosts)
        });
        let fetched = fetch(&source.unwrap(), &server.url(), None, None).await;
        let error = fetched.unwrap_err();
        self.assert_untouched();
        let left = std::fs::read_dir(self.lab.data().join("mirrors")).unwrap();
        let left = left.flatten().filter(|entry| entry.path().is_dir());
        assert_eq!(left.count(), 0, "a mirror was left: {error}");
        error
    }
}

#[tokio::test]
async fn redirects_lead_nowhere_whatever_they_say() {
    let trap = Trap::new();
    let target = Liar::start(|_| not_found()).await;
    let secret = trap.outside().join("secret").display().to_string();
    for to in [
        format!("ext::{}", trap.program()),
        format!("file://{secret}"),
        secret,
        format!(
            "http://{}/owner/repo.git/info/refs?service=git-upload-pack",
            target.host()
        ),
        "https://169.254.169.254/latest/meta-data".to_owned(),
        "gopher://127.0.0.1/x".to_owned(),
        "//127.0.0.1/x/info/refs".to_owned(),
    ] {
        for status in [301, 302, 303, 307, 308] {
            let to = to.clone();
            let server = Liar::start(move |_| {
                let status = StatusCode::from_u16(status).unwrap();
                (status, [(header::LOCATION, to.clone())]).into_response()
            });
            let server = server.await;
            let error = trap.fetch_from(&server, &[target.host()]).await;
            assert_eq!(error.kind, FailureKind::Repository, "{status}: {error}");
            assert!(error.message.contains("redirects"), "{status}: {error}");
        }
    }
    assert_eq!(target.asked(), Vec::<String>::new());
}

/// Only the branches are told honestly; the objects are said to be elsewhere.
#[tokio::test]
async fn a_redirect_in_the_middle_is_not_followed_either() {
    let trap = Trap::new();
    let target = Liar::start(|_| not_found()).await;
    let to = target.host();
    let server = Liar::start(move |asked: &Asked| match &asked.body {
        body if body.is_empty() => greeting(&["ls-refs", "fetch=shallow"]),
        body if holds(body, b"command=ls-refs") => one_branch(),
        _ => {
            let to = format!("http://{to}/owner/repo.git/git-upload-pack");
            (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response()
        }
    });
    let server = server.await;
    let error = trap.fetch_from(&server, &[target.host()]).await;
    assert!(error.message.contains("redirects"), "{error}");
    assert_eq!(target.asked(), Vec::<String>::new());
}

/// Two ways in which a server may send a client to another place for its objects.
#[tokio::test]
async fn offers_to_fetch_from_elsewhere_are_declined() {
    let trap = Trap::new();
    let target = Liar::start(|_| not_found()).await;
    let elsewhere = format!("http://{}/pack", target.host());
    for uri in [
        elsewhere,
        format!("file://{}/secret", trap.outside().display()),
    ] {
        let server = Liar::start(move |asked: &Asked| match &asked.body {
            body if body.is_empty() => {
                greeting(&["ls-refs", "fetch=shallow packfile-uris", "bundle-uri"])
            }
            body if holds(body, b"command=ls-refs") => one_branch(),
            body if holds(body, b"command=bundle-uri") => {
                let mut answer = line("bundle.version=1\n");
                answer.extend(line("bundle.mode=all\n"));
                answer.extend(line(format!("bundle.one.uri={uri}\n")));
                answer.extend(b"0000");
                smart("result", answer)
            }
            _ => {
                let mut answer = line("packfile-uris\n");
                answer.extend(line(format!("{} {uri}\n", "a".repeat(40))));
                answer.extend(b"0001");
                answer.extend(line("packfile\n"));
                answer.extend(b"0000");
                smart("result", answer)
            }
        });
        let server = server.await;
        let error = trap.fetch_from(&server, &[target.host()]).await;
        assert_eq!(error.kind, FailureKind::Clone, "{error}");
    }
    assert_eq!(target.asked(), Vec::<String>::new());
}

/// Over plain files git checks nothing of what it takes in.
#[tokio::test]
async fn a_server_of_plain_files_is_refused() {
    let trap = Trap::new();
    let bare = trap.lab.bare();
    let evil = vec![blob(
        &bare,
        "100644",
        *b"config",
        b"[core]\n\tfsmonitor = canary\n",
    )];
    let tree = plant::tree(&bare, vec![folder(&bare, *b".GIT", evil)]);
    let commit = plant::commit(&bare, &tree, &text(&bare, &["rev-parse", "main"]));
    git(&bare, &["update-ref", "refs/heads/main", &commit]);
    git(&bare, &["update-server-info"]);
    let other = Liar::start(|_| not_found()).await;
    for alternates in ["objects/info/http-alternates", "objects/info/alternates"] {
        let text = format!(
            "http://{}/other.git/objects\n/outside/objects\n",
            other.host()
        );
        std::fs::create_dir_all(bare.join("objects/info")).unwrap();
        std::fs::write(bare.join(alternates), text).unwrap();
    }
    let root = trap.lab.path("remote");
    let server = Liar::start(move |asked: &Asked| serve_file(&root, &asked.path)).await;
    let error = trap.fetch_from(&server, &[other.host()]).await;
    assert_eq!(error.kind, FailureKind::Repository, "{error}");
    assert!(error.message.contains("plain files"), "{error}");
    assert_eq!(other.asked(), Vec::<String>::new());
    assert!(!server.asked().iter().any(|path| path.contains("/objects/")));
}

fn serve_file(root: &Path, path: &str) -> Response {
    let path = path.split('?').next().unwrap_or_default();
    let file: PathBuf = root.join(path.trim_start_matches('/'));
    match std::fs::read(file) {
        Ok(bytes) => ([(header::CONTENT_TYPE, "text/plain")], bytes).into_response(),
        Err(_) => not_found(),
    }
}

/// One object after the other, as many as anybody takes.
#[tokio::test]
async fn a_pack_without_end_is_left() {
    let trap = Trap::new();
    let server = Liar::start(|asked: &Asked| match &asked.body {
        body if body.is_empty() => greeting(&["ls-refs", "fetch=shallow"]),
        body if holds(body, b"command=ls-refs") => one_branch(),
        _ => smart("result", Body::from_stream(endless_pack())),
    });
    let server = server.await;
    let error = trap.fetch_from(&server, &[]).await;
    assert_eq!(error.kind, FailureKind::Limit, "{error}");
    assert!(error.message.contains("max_clone_mb"), "{error}");
}

fn endless_pack() -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> {
    let head = [
        line("packfile\n"),
        line(b"\x01PACK\0\0\0\x02\0\x0f\xff\xff"),
    ];
    let head = futures_util::stream::iter([Ok(Bytes::from(head.concat()))]);
    let mut number = 0_u32;
    let objects = futures_util::stream::repeat_with(move || {
        number += 1;
        Ok(Bytes::from(line(
            [b"\x01".to_vec(), random_blob(number)].concat(),
        )))
    });
    futures_util::StreamExt::chain(head, objects)
}

/// A blob of 60,000 bytes as a pack holds it, like no other.
fn random_blob(seed: u32) -> Vec<u8> {
    const BYTES: u16 = 60_000;
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let content: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    })
    .take(usize::from(BYTES))
    .collect();
    // Kind and length, then zlib's frame around one stored block.
    let mut out = vec![0xb0, 0xa6, 0x1d, 0x78, 0x01, 0x01];
    out.extend(BYTES.to_le_bytes());
    out.extend((!BYTES).to_le_bytes());
    out.extend(&content);
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in &content {
        a = (a + u32::from(*byte)) % 65521;
        b = (b + a) % 65521;
    }
    out.extend(((b << 16) | a).to_be_bytes());
    out
}

/// Its words end up in a log and on a terminal.
#[tokio::test]
async fn what_a_server_says_moves_no_cursor_and_shows_no_token() {
    const TOKEN: &str = "ghs_echoedByTheServer0123456789";
    let trap = Trap::new();
    let server = Liar::start(|asked: &Asked| match &asked.body {
        body if body.is_empty() => greeting(&["ls-refs", "fetch=shallow"]),
        _ => {
            let words = format!("ERR \x1b[2J\x1b]0;x\x07 {TOKEN} \rgone\n");
            smart("result", line(words))
        }
    });
    let server = server.await;
    let source = trap.lab.source(&[server.host()]);
    let credential = token(&format!("http://{}", server.host()), TOKEN);
    let fetched = fetch(&source, &server.url(), None, Some(&credential)).await;
    let error = fetched.unwrap_err();
    assert!(!error.message.chars().any(char::is_control), "{error:?}");
    assert!(!error.message.contains(TOKEN), "{error}");
    trap.assert_untouched();
}

/// A branch named so that git would take it for something else.
#[tokio::test]
async fn names_of_branches_are_looked_at() {
    let trap = Trap::new();
    for name in [
        "--upload-pack=canary",
        "../../outside",
        "a..b",
        "a b",
        "x.lock",
        "@{-1}",
        "a:refs/heads/b",
    ] {
        let server = Liar::start(move |asked: &Asked| {
            if asked.body.is_empty() {
                return greeting(&["ls-refs", "fetch=shallow"]);
            }
            let commit = "a".repeat(40);
            let mut body = line(format!("{commit} HEAD symref-target:refs/heads/{name}\n"));
            body.extend(line(format!("{commit} refs/heads/{name}\n")));
            body.extend(b"0000");
            smart("result", body)
        });
        let server = server.await;
        let error = trap.fetch_from(&server, &[]).await;
        let kinds = [
            FailureKind::BadRequest,
            FailureKind::Clone,
            FailureKind::Repository,
        ];
        assert!(kinds.contains(&error.kind), "{name}: {error}");
    }
}

fn holds(body: &[u8], text: &[u8]) -> bool {
    body.windows(text.len()).any(|window| window == text)
}
