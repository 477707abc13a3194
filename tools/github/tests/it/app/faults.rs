//! What keeps an App from a token, and what is said then.

use pullwright_github::{GithubConfig, Secret, server};
use pullwright_tool_kit::protocol::forge::ForgeCredential;
use serde_json::{Value, json};

use super::double::{Double, State};
use super::tokens::{preflight, start};
use super::{as_app, keys};
use crate::client::{Client, TOKEN, repository};

fn granted(permissions: Value) -> State {
    State {
        permissions,
        ..State::default()
    }
}

fn failing(status: u16, message: &'static str) -> State {
    State {
        failures: [(status, message)].into(),
        ..State::default()
    }
}

fn clock(clock: i64) -> State {
    State {
        clock,
        ..State::default()
    }
}

#[tokio::test]
async fn each_reason_is_told_with_its_remedy() {
    let absent = State {
        installed: false,
        ..State::default()
    };
    let suspended = State {
        suspended: true,
        ..State::default()
    };
    let unknown = State {
        app_id: "815",
        ..State::default()
    };
    let not_granted = "The permissions requested are not granted to this installation.";
    let table: [(State, &[&str]); 10] = [
        (
            absent,
            &["App 4711 is not installed on octo/demo", "install it"],
        ),
        (
            suspended,
            &["App 4711 on octo is suspended", "settings of octo"],
        ),
        (
            failing(403, "This installation has been suspended"),
            &["App 4711 on octo is suspended"],
        ),
        (
            granted(json!({"contents": "read", "metadata": "read", "pull_requests": "write"})),
            &[
                "was not granted contents: write, issues: read:",
                "approve it",
            ],
        ),
        (
            failing(422, not_granted),
            &[
                "was not granted contents: write, issues: read, metadata: read, pull_requests: write",
            ],
        ),
        (
            failing(422, "There is at least one repository that does not exist"),
            &["is not installed on octo/demo"],
        ),
        (clock(3600), &["behind GitHub's", "set the clock"]),
        (clock(-3600), &["ahead of GitHub's", "set the clock"]),
        (unknown, &["App 4711 (Integration not found)", "MY_APP_KEY"]),
        (
            failing(403, "Resource not accessible by integration"),
            &["the GitHub App 4711 lacks a right"],
        ),
    ];
    for (state, expected) in table {
        let (_double, client) = start(state).await;
        let message = preflight(&client).await.unwrap_err();
        for part in expected {
            assert!(message.contains(part), "`{part}` is not in `{message}`");
        }
    }
}

#[tokio::test]
async fn git_gets_the_same_words() {
    let (double, client) = start(State {
        installed: false,
        ..State::default()
    })
    .await;
    let repository = repository();
    let answer = client.pipeline::<ForgeCredential>("credential", &repository);
    let message = answer.await.unwrap_err();
    assert!(
        message.contains("getting a token for octo/demo failed"),
        "{message}"
    );
    assert!(
        message.contains("is not installed on octo/demo"),
        "{message}"
    );
    assert_eq!(double.state().asked.len(), 1);
}

#[tokio::test]
async fn another_app_s_key_is_told_from_a_wrong_clock() {
    let double = Double::start(State::default()).await;
    let client = Client::start(as_app(&double.url, &keys::other())).await;
    let message = preflight(&client).await.unwrap_err();
    assert!(
        message.contains("does not take us for the App 4711"),
        "{message}"
    );
    assert!(
        message.contains("MY_APP_KEY") && !message.contains("clock"),
        "{message}"
    );
}

#[tokio::test]
async fn a_host_that_takes_none_of_its_tokens_is_given_up() {
    let (double, client) = start(State {
        distrustful: true,
        ..State::default()
    })
    .await;
    let message = preflight(&client).await.unwrap_err();
    assert!(
        message.contains("refuses the token that it has just given"),
        "{message}"
    );
    assert_eq!(double.state().wanted.len(), 2);
}

#[tokio::test]
async fn what_is_no_key_is_refused_at_the_start_without_showing_it() {
    let cut = keys::ours().replace("\nMIIE", "\nMIIF");
    let locked = keys::pem("ENCRYPTED ", &["c2VjcmV0IGNhbmFyeQ=="]);
    let empty = String::new();
    let table = [
        (keys::elliptic(), "is not an RSA key"),
        (cut, "is damaged"),
        (locked, "without a passphrase"),
        (empty, "no PEM text"),
        ("c2VjcmV0IGNhbmFyeQ==".to_owned(), "no PEM text"),
    ];
    for (key, expected) in table {
        let message = refused(as_app("https://api.github.com", &key));
        assert!(
            message.contains(expected),
            "`{expected}` is not in `{message}`"
        );
        assert!(message.contains("MY_APP_KEY"), "{message}");
        assert!(!message.contains("c2VjcmV0"), "{message}");
    }
}

#[tokio::test]
async fn an_account_is_one_and_has_an_id() {
    let mut nameless = as_app("https://api.github.com", &keys::ours());
    nameless.app.as_mut().unwrap().id = "47 11".to_owned();
    assert!(refused(nameless).contains("`47 11` is not the id of a GitHub App"));

    let mut both = as_app("https://api.github.com", &keys::ours());
    both.token = Some(Secret::new(TOKEN));
    let message = refused(both);
    assert!(
        message.contains("two accounts") && message.contains("MY_TOKEN"),
        "{message}"
    );
}

fn refused(config: GithubConfig) -> String {
    match server(config) {
        Ok(_) => panic!("it started"),
        Err(error) => error.to_string(),
    }
}
