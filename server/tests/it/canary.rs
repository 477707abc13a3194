//! A token for the code host is seen by that host, and by nothing else: whole runs of the program itself, with
//! a token that is looked for afterwards in everything that it said, wrote and started.

mod github;
mod ground;
mod model;
mod needle;
mod watch;

use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;

use ground::{Account, Ground, Remote};
use needle::Needle;
use watch::Watch;

/// It is another one as part of a URL.
const TOKEN: &str = "cnry_p+Q7x/K2mV9=wT4zR8bN";

/// Each account does the job, is not let push, and is not let propose.
async fn plays(account: Account) {
    let ground = Ground::start(account).await;
    let proposed = ground.code(Remote::Takes).await;
    assert_eq!(proposed.outcome(), "pull request", "{}", proposed.text);
    let not_pushed = ground.code(Remote::Echoes).await;
    assert_eq!(not_pushed.outcome(), "patch only", "{}", not_pushed.text);
    assert!(
        not_pushed.text.contains("you sent Basic …"),
        "git complains: {}",
        not_pushed.text
    );
    ground.github.echo();
    let not_proposed = ground.code(Remote::Takes).await;
    assert_eq!(
        not_proposed.outcome(),
        "failed(forge)",
        "{}",
        not_proposed.text
    );
    assert!(ground.github.was_authorized(), "the token was not used");
    ground.is_clean([proposed, not_pushed, not_proposed]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_personal_token_is_seen_by_its_host_alone() {
    plays(Account::Variable).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_of_an_app_is_seen_by_its_host_alone() {
    plays(Account::App).await;
}

/// The search itself: what finds nothing must be able to find something.
#[tokio::test]
async fn what_is_planted_is_found() {
    let needle = Needle::new(TOKEN);
    for planted in [
        format!("Bearer {TOKEN}"),
        "eC1hY2Nlc3MtdG9rZW46Y25yeV9wK1E3eC9LMm1WOT13VDR6UjhiTg==".to_owned(),
        "https://x:cnry_p%2BQ7x%2FK2mV9%3DwT4zR8bN@host/".to_owned(),
        "cnry_p%2bQ7x%2fK2mV9%3dwT4zR8bN".to_owned(),
        Value::from(TOKEN).to_string(),
    ] {
        assert!(needle.is_in(planted.as_bytes()), "{planted}");
    }
    assert!(!needle.is_in(b"cnry_ and nothing more"));

    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("deep")).unwrap();
    assert_eq!(needle.files_below(folder.path()), Vec::<String>::new());
    std::fs::write(folder.path().join("deep/file"), format!("a{TOKEN}b")).unwrap();
    assert_eq!(needle.files_below(folder.path()).len(), 1);

    for (script, where_it_is) in [
        ("cat; true", "environment of cat"),
        (
            "read t; unset CANARY; sh -c 'read x; true' \"$t\"",
            "arguments of sh",
        ),
    ] {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", script]).env("CANARY", TOKEN);
        let mut shell = shell.stdin(Stdio::piped()).spawn().unwrap();
        let mut input = shell.stdin.take().unwrap();
        writeln!(input, "{TOKEN}").unwrap();
        let found = Watch::of_descendants(shell.id(), needle.clone())
            .until_found()
            .await;
        drop(input);
        shell.wait().unwrap();
        assert!(found.contains(where_it_is), "{script}: {found:?}");
    }
}
