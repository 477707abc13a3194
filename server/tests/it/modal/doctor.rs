//! `pullwright doctor --modal`, as a person starts it.

use std::process::Output;

use tokio::process::Command;

use super::official::as_account;
use super::{Bench, PROGRAM, tool_host};
use crate::peers::process::free_port;
use crate::support::in_time;

const CONFIG: &str = "[agent]\nprovider = \"mine\"\n[repositories]\nhosts = [\"localhost\"]\n\
     [budget]\nmax_usd = \"none\"\n[providers.mine]\nwire_api = \"ollama\"\nmodel = \"m\"\n\
     [sandbox]\nkind = \"modal\"\n[sandbox.modal]\n";

/// What is said about Modal.
async fn doctor(bench: &Bench, modal: &str, change: impl FnOnce(&mut Command)) -> (Output, String) {
    let config = bench.folder.path().join("plugins.toml");
    std::fs::write(&config, format!("{CONFIG}{modal}\n")).unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["doctor", "--modal", "--config"]).arg(config);
    command.env("XDG_DATA_HOME", bench.folder.path());
    as_account(&mut command, &bench.double);
    change(&mut command);
    let output = in_time(command.output()).await.unwrap();
    let shown = String::from_utf8(output.stdout.clone()).unwrap();
    let modal = shown
        .split("\n\n")
        .find(|section| section.starts_with("Modal"));
    let modal = modal.unwrap_or_else(|| panic!("{shown}")).to_owned();
    (output, modal)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_tries_all_that_a_run_needs() {
    let bench = Bench::new().await;
    tool_host(bench.folder.path());
    let modal = "tool_host = \"tool-host\"\ndockerfile = [\"RUN seq 500\"]";
    let (_, shown) = doctor(&bench, modal, |_| {}).await;
    for said in [
        "ak-test",
        "it took the token",
        "with /usr/local/bin/pullwright of 5 MiB",
        "and is ended",
    ] {
        let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(said), "{said}: {shown}");
    }
    assert!(!shown.contains("as-test"), "{shown}");
    assert_eq!(bench.double.sandboxes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_what_is_wrong() {
    let bench = Bench::new().await;
    let gone = format!("http://127.0.0.1:{}", free_port());
    tool_host(bench.folder.path());
    let own = "tool_host = \"tool-host\"";
    type Change = Box<dyn FnOnce(&mut Command)>;
    let set = |name: &'static str, value: String| -> Change {
        Box::new(move |command| {
            command.env(name, value);
        })
    };
    let cases: [(&str, Change, &str); 5] = [
        (
            own,
            set("MODAL_TOKEN_ID", String::new()),
            "Token ID and secret must both be configured.",
        ),
        (
            own,
            set("MODAL_TOKEN_SECRET", "as-wrong".to_owned()),
            "the token is not known",
        ),
        (
            own,
            set("MODAL_SERVER_URL", gone),
            "Could not connect to the Modal server.",
        ),
        ("", set("A", String::new()), "this machine's libraries"),
        (
            "tool_host = \"tool-host\"\ndockerfile = [\"RUN false\"]",
            set("A", String::new()),
            "RUN false failed",
        ),
    ];
    for (modal, change, expected) in cases {
        let (output, shown) = doctor(&bench, modal, change).await;
        assert_eq!(output.status.code(), Some(1), "{shown}");
        let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(expected), "{expected}: {shown}");
    }
}
