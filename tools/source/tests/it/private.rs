//! One mirror and several callers, of whom not all may read the repository.

use pullwright_core::source::{Base, Fetch, Source, SourceError};
use pullwright_protocol::FailureKind;
use pullwright_protocol::forge::ForgeCredential;
use pullwright_source::{GitSource, SourceConfig};

use crate::http_backend::Behaviour;
use crate::lab::{Lab, git, token};

/// Who has a token like this may read.
const RIGHT: &str = "right-";

async fn fetch(
    source: &GitSource,
    url: &str,
    (branch, commit): (Option<&str>, Option<&str>),
    credential: Option<&ForgeCredential>,
) -> Result<Base, SourceError> {
    let repository = source.accept(url)?;
    source
        .fetch(Fetch {
            repository: &repository,
            branch,
            commit,
            since: None,
            credential,
        })
        .await
}

fn private() -> Behaviour {
    Behaviour::Token {
        user: "x-access-token".to_owned(),
        begin: RIGHT.to_owned(),
    }
}

#[tokio::test]
async fn the_mirror_is_for_those_whom_the_remote_lets_read() {
    let lab = Lab::new();
    let server = lab.serve(private()).await;
    let source = lab.source(&[server.host()]);
    let url = server.url("owner/repo.git");
    let one = token(&server.origin(), "right-one");
    let base = fetch(&source, &url, (None, None), Some(&one))
        .await
        .unwrap();

    let empty = tempfile::tempdir().unwrap();
    let without_mirror = GitSource::new(SourceConfig {
        hosts: vec![server.host()],
        ..SourceConfig::new(empty.path().join("data"))
    })
    .unwrap();
    let stranger = token(&server.origin(), "wrong");
    let commit = base.commit.as_str();
    let absent = "0123456789012345678901234567890123456789";
    for wanted in [
        (None, None),
        (Some("main"), None),
        (Some("no-such-branch"), None),
        (Some("main"), Some(commit)),
        (Some("main"), Some(absent)),
    ] {
        for credential in [Some(&stranger), None] {
            let asked = server.seen().len();
            let error = fetch(&source, &url, wanted, credential).await.unwrap_err();
            assert!(server.seen().len() > asked, "the remote was not asked");
            let kind = match credential {
                Some(_) => FailureKind::Credential,
                None => FailureKind::Repository,
            };
            assert_eq!(error.kind, kind, "{error}");
            let elsewhere = fetch(&without_mirror, &url, wanted, credential).await;
            assert_eq!(
                error.message,
                elsewhere.unwrap_err().message,
                "what is in the mirror shows"
            );
        }
    }

    let two = token(&server.origin(), "right-two");
    for wanted in [(None, None), (Some("main"), Some(commit))] {
        let authorized = server.authorized();
        let found = fetch(&source, &url, wanted, Some(&two)).await.unwrap();
        assert_eq!(found, base);
        assert!(server.authorized() > authorized, "the remote was not asked");
    }
}

#[tokio::test]
async fn a_known_commit_outlives_its_branch_for_those_who_may_read() {
    let lab = Lab::new();
    let server = lab.serve(private()).await;
    let source = lab.source(&[server.host()]);
    let url = server.url("owner/repo.git");
    let stranger = token(&server.origin(), "wrong");
    let right = token(&server.origin(), "right-one");
    let side = fetch(&source, &url, (Some("side"), None), Some(&right))
        .await
        .unwrap();
    git(&lab.bare(), &["branch", "-q", "-D", "side"]);
    let wanted = (Some("side"), Some(side.commit.as_str()));
    let again = fetch(&source, &url, wanted, Some(&right)).await.unwrap();
    assert_eq!(again, side);
    // Not even that the branch was there.
    let refused = fetch(&source, &url, wanted, Some(&stranger))
        .await
        .unwrap_err();
    assert_eq!(refused.kind, FailureKind::Credential, "{refused}");

    // Saving what a run has made of it asks nobody.
    let asked = server.seen().len();
    let repository = source.accept(&url).unwrap();
    let known = source.known(&repository, "side", &side.commit).await;
    assert_eq!(known.unwrap(), Some(side));
    assert_eq!(server.seen().len(), asked);
}
