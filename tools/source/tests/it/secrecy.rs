//! A token is seen by the server it is for, and by nothing else.

use std::path::Path;

use pullwright_core::source::{Push, Source};
use pullwright_protocol::FailureKind;
use pullwright_source::{GitSource, SourceConfig};

use crate::http_backend::Behaviour;
use crate::lab::{Lab, bundle, commit, fetch, run, take_in, token};

const TOKEN: &str = "ghs_0123456789abcdefSECRET";

#[tokio::test]
async fn a_token_is_in_no_argument_environment_or_file() {
    let lab = Lab::new();
    let (user, password) = ("x-access-token".to_owned(), TOKEN.to_owned());
    let server = lab.serve(Behaviour::Password { user, password }).await;
    let git = lab.telling_git();
    let source = GitSource::new(SourceConfig {
        git,
        ..lab.config(&[server.host()])
    })
    .unwrap();
    let credential = token(&server.origin(), TOKEN);
    let url = server.url("owner/repo.git");
    let base = fetch(&source, &url, None, Some(&credential)).await.unwrap();
    let sandbox = lab.sandbox(&source, &base).await;
    std::fs::write(sandbox.join("new"), "new\n").unwrap();
    commit(&sandbox, "work");
    let work = take_in(&source, &base, &bundle(&sandbox, &base.commit))
        .await
        .unwrap();
    let push = Push {
        run: &run(),
        base: &base,
        work: &work,
        moved: None,
        to: None,
        branch: "pullwright/secret-1",
        grows: false,
        begun_at: &[],
        message: "Add new",
        credential: Some(&credential),
    };
    source.push(push).await.unwrap();
    assert!(server.authorized() >= 4, "{}", server.authorized());
    assert_eq!(server.leaks(), Vec::<String>::new());
    let calls = lab.calls();
    assert!(calls.contains("GIT_TERMINAL_PROMPT=0") && calls.contains("ls-remote"));
    assert!(!calls.contains(TOKEN));
    assert!(!calls.contains("CARGO"), "the environment is emptied");
    assert_no_file_holds(&lab.path(""), TOKEN.as_bytes());
}

#[tokio::test]
async fn a_token_is_never_offered_to_another_origin() {
    let lab = Lab::new();
    let asks = || Behaviour::Password {
        user: "x-access-token".into(),
        password: "other".into(),
    };
    let (mine, other) = (lab.serve(asks()).await, lab.serve(asks()).await);
    let redirect = lab.serve(Behaviour::Redirect(other.origin())).await;
    let source = lab.source(&[mine.host(), other.host(), redirect.host()]);

    let credential = token(&mine.origin(), TOKEN);
    let url = other.url("owner/repo.git");
    let error = fetch(&source, &url, None, Some(&credential))
        .await
        .unwrap_err();
    assert_eq!(error.kind, FailureKind::Credential, "{error}");
    assert!(!error.message.contains(TOKEN), "{error}");
    assert!(other.seen().is_empty(), "not even asked");

    let credential = token(&redirect.origin(), TOKEN);
    let url = redirect.url("owner/repo.git");
    let error = fetch(&source, &url, None, Some(&credential))
        .await
        .unwrap_err();
    assert!(error.message.contains("redirects"), "{error}");
    assert!(other.seen().is_empty());
    assert!(
        redirect
            .seen()
            .iter()
            .all(|request| request.authorization.is_none())
    );

    let broken = token(&mine.origin(), "two\nlines");
    let url = mine.url("owner/repo.git");
    let error = fetch(&source, &url, None, Some(&broken)).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Credential, "{error}");
    assert!(mine.seen().is_empty());
}

#[tokio::test]
async fn a_token_that_a_server_echoes_is_not_told() {
    let lab = Lab::new();
    let password = "p+canary/1=";
    let server = lab
        .serve(Behaviour::Echo {
            user: "x-access-token".into(),
            begin: password.into(),
        })
        .await;
    let source = lab.source(&[server.host()]);
    let credential = token(&server.origin(), password);
    let url = server.url("owner/repo.git");
    let base = fetch(&source, &url, None, Some(&credential)).await.unwrap();
    let sandbox = lab.sandbox(&source, &base).await;
    std::fs::write(sandbox.join("new"), "new\n").unwrap();
    commit(&sandbox, "work");
    let work = take_in(&source, &base, &bundle(&sandbox, &base.commit))
        .await
        .unwrap();
    let push = Push {
        run: &run(),
        base: &base,
        work: &work,
        moved: None,
        to: None,
        branch: "pullwright/secret-1",
        grows: false,
        begun_at: &[],
        message: "Add new",
        credential: Some(&credential),
    };
    let error = source.push(push).await.unwrap_err();
    let told = error.message;
    assert!(told.contains("you sent Basic …"), "git says it all: {told}");
    for shown in ["canary", "eC1hY2Nlc3", "cCtjYW5hcn"] {
        assert!(!told.contains(shown), "{told}");
    }
}

fn assert_no_file_holds(folder: &Path, text: &[u8]) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            assert_no_file_holds(&entry.path(), text);
        } else if kind.is_file() {
            let bytes = std::fs::read(entry.path()).unwrap();
            let held = bytes.windows(text.len()).any(|window| window == text);
            assert!(!held, "{}", entry.path().display());
        }
    }
}
