//! Mirrors over real smart HTTP.

use std::time::Duration;

use pullwright_core::source::{CheckoutFiles, Source};
use pullwright_protocol::FailureKind;
use pullwright_source::{GitSource, SourceConfig, Timeouts};

use crate::http_backend::Behaviour;
use crate::lab::{Lab, commit, fetch, git, text, token};

#[tokio::test]
async fn the_default_branch_and_a_named_one() {
    let lab = Lab::new();
    let server = lab.serve(Behaviour::Open).await;
    let source = lab.source(&[server.host()]);
    let url = server.url("owner/repo.git");
    let base = fetch(&source, &url, None, None).await.unwrap();
    assert_eq!(base.branch, "main");
    assert_eq!(base.commit, text(&lab.bare(), &["rev-parse", "main"]));
    assert_eq!(base.tree, text(&lab.bare(), &["rev-parse", "main^{tree}"]));
    let side = fetch(&source, &url, Some("side"), None).await.unwrap();
    assert_eq!(side.commit, text(&lab.bare(), &["rev-parse", "side"]));
    assert_eq!(side.mirror, base.mirror);
}

#[tokio::test]
async fn a_moved_branch_is_seen_even_after_a_forced_push() {
    let lab = Lab::new();
    let server = lab.serve(Behaviour::Open).await;
    let source = lab.source(&[server.host()]);
    let url = server.url("owner/repo.git");
    fetch(&source, &url, None, None).await.unwrap();
    git(&lab.path("seed"), &["reset", "-q", "--hard", "HEAD~1"]);
    commit(&lab.path("seed"), "other");
    git(
        &lab.path("seed"),
        &["push", "-q", "-f", lab.bare().to_str().unwrap(), "main"],
    );
    let base = fetch(&source, &url, None, None).await.unwrap();
    assert_eq!(base.commit, text(&lab.path("seed"), &["rev-parse", "HEAD"]));
}

#[tokio::test]
async fn what_is_not_there_is_told() {
    let lab = Lab::new();
    git(&lab.path("remote"), &["init", "-q", "--bare", "empty.git"]);
    let server = lab.serve(Behaviour::Open).await;
    let source = lab.source(&[server.host()]);
    for (repository, branch, reason) in [
        (
            "owner/missing.git",
            None,
            "not a repository that can be seen",
        ),
        ("empty.git", None, "has no commit"),
        ("owner/repo.git", Some("missing"), "has no branch `missing`"),
    ] {
        let error = fetch(&source, &server.url(repository), branch, None)
            .await
            .unwrap_err();
        assert_eq!(error.kind, FailureKind::Repository, "{error}");
        assert!(error.message.contains(reason), "{error}");
        let is_there = repository != "owner/missing.git";
        assert_eq!(error.is_missing_branch(), is_there, "{error}");
        assert!(!error.passes, "{error}");
    }
    let url = server.url("owner/repo.git");
    let error = fetch(&source, &url, Some("--upload-pack=x"), None)
        .await
        .unwrap_err();
    assert_eq!(error.kind, FailureKind::BadRequest, "{error}");
}

#[tokio::test]
async fn a_listed_name_with_a_private_address_is_refused_unless_named() {
    let lab = Lab::new();
    let server = lab.serve(Behaviour::Open).await;
    let source = lab.source(&["localhost".into()]);
    let error = fetch(&source, "https://localhost/r.git", None, None)
        .await
        .unwrap_err();
    assert_eq!(error.kind, FailureKind::Repository);
    assert!(error.message.contains("loopback address"), "{error}");
    assert!(server.seen().is_empty());

    let config = SourceConfig {
        git: lab.telling_git(),
        ..lab.config(&[format!("localhost:{}", server.port())])
    };
    let named = GitSource::new(config).unwrap();
    let url = format!("http://localhost:{}/owner/repo.git", server.port());
    assert_eq!(
        fetch(&named, &url, None, None).await.unwrap().branch,
        "main"
    );
    let calls = lab.calls();
    let pin = format!("http.curloptResolve=localhost:{}:127.0.0.1 ", server.port());
    let network = |line: &&str| line.contains(&url);
    assert!(calls.lines().filter(network).count() >= 2, "{calls}");
    assert!(
        calls
            .lines()
            .filter(network)
            .all(|line| line.contains(&pin)),
        "{calls}"
    );

    let private = SourceConfig {
        private_hosts: vec!["localhost".into()],
        ..lab.config(&["localhost".into()])
    };
    let private = GitSource::new(private).unwrap();
    let error = fetch(&private, "https://localhost/r.git", None, None)
        .await
        .unwrap_err();
    assert_eq!(
        error.kind,
        FailureKind::Clone,
        "past the address, nobody listens: {error}"
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let lab = Lab::new();
    let target = lab.serve(Behaviour::Open).await;
    let server = lab.serve(Behaviour::Redirect(target.origin())).await;
    let source = lab.source(&[server.host(), target.host()]);
    let error = fetch(&source, &server.url("owner/repo.git"), None, None)
        .await
        .unwrap_err();
    assert_eq!(error.kind, FailureKind::Repository, "{error}");
    assert!(error.message.contains("redirects"), "{error}");
    assert!(target.seen().is_empty());
}

#[tokio::test]
async fn credentials_open_a_private_repository() {
    let lab = Lab::new();
    let (user, password) = ("x-access-token".to_owned(), "right-one".to_owned());
    let server = lab.serve(Behaviour::Password { user, password }).await;
    let source = lab.source(&[server.host()]);
    let url = server.url("owner/repo.git");
    let right = token(&server.origin(), "right-one");
    fetch(&source, &url, None, Some(&right)).await.unwrap();

    let error = fetch(&source, &url, None, None).await.unwrap_err();
    assert_eq!(
        error.kind,
        FailureKind::Repository,
        "the mirror is not for everybody: {error}"
    );
    assert!(error.message.contains("private"), "{error}");

    let wrong = token(&server.origin(), "wrong-one");
    let error = fetch(&source, &url, None, Some(&wrong)).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Credential, "{error}");
    assert!(!error.message.contains("wrong-one"), "{error}");
}

#[tokio::test]
async fn two_fetches_at_once_bring_the_objects_once() {
    let lab = Lab::new();
    let server = lab.serve(Behaviour::Open).await;
    let git = lab.telling_git();
    let config = SourceConfig {
        git,
        ..lab.config(&[server.host()])
    };
    let (one, two) = (
        GitSource::new(config.clone()).unwrap(),
        GitSource::new(config).unwrap(),
    );
    let url = server.url("owner/repo.git");
    let same = one.clone();
    let (a, b, c) = tokio::join!(
        fetch(&one, &url, None, None),
        fetch(&same, &url, None, None),
        fetch(&two, &url, None, None),
    );
    assert_eq!(a.unwrap(), b.unwrap());
    c.unwrap();
    let calls = lab.calls();
    assert_eq!(
        calls
            .lines()
            .filter(|line| line.starts_with("argv:") && line.contains(" fetch "))
            .count(),
        1,
        "{calls}"
    );
}

/// Whoever asks for the branch asks the remote where it is; its objects are asked for once.
#[tokio::test]
async fn twenty_runs_of_one_repository_share_one_fetch() {
    let lab = Lab::new();
    let server = lab.serve(Behaviour::Open).await;
    let source = lab.source(&[server.host()]);
    let url = server.url("owner/repo.git");
    for (branch, round) in [(None, 1), (Some("side"), 2)] {
        let runs = (0..20).map(|_| fetch(&source, &url, branch, None));
        let bases = futures_util::future::join_all(runs).await;
        let bases: Vec<_> = bases.into_iter().map(Result::unwrap).collect();
        assert!(bases.iter().all(|base| *base == bases[0]));
        let into = bases.iter().enumerate().map(|(number, base)| {
            let into = lab.path(&format!("checkout-{round}-{number}"));
            let source = &source;
            async move {
                let made = source.checkout(base, None, CheckoutFiles::Written, &into);
                made.await.unwrap();
                assert_eq!(text(&into, &["write-tree"]), base.tree);
            }
        });
        futures_util::future::join_all(into).await;
        assert_eq!(server.packs(), round, "after {round} branches");
    }
}

#[tokio::test]
async fn a_remote_that_never_answers_or_never_ends_is_left() {
    let lab = Lab::new();
    for behaviour in [Behaviour::Stall, Behaviour::Endless] {
        let server = lab.serve(behaviour).await;
        let timeouts = Timeouts {
            ask: Duration::from_secs(2),
            ..Timeouts::default()
        };
        let source = GitSource::new(SourceConfig {
            timeouts,
            ..lab.config(&[server.host()])
        })
        .unwrap();
        let error = fetch(&source, &server.url("owner/repo.git"), None, None)
            .await
            .unwrap_err();
        assert_eq!(error.kind, FailureKind::Limit, "{error}");
        assert!(error.message.contains("took more than 2 s"), "{error}");
        assert!(error.passes, "{error}");
    }
}

#[tokio::test]
async fn a_repository_beyond_the_limit_leaves_nothing() {
    let lab = Lab::new();
    let seed = lab.path("seed");
    let noise: Vec<u8> = (0..400_000_u32)
        .flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    std::fs::write(seed.join("big"), noise).unwrap();
    commit(&seed, "big");
    git(&seed, &["push", "-q", lab.bare().to_str().unwrap(), "main"]);
    let server = lab.serve(Behaviour::Open).await;
    let config = SourceConfig {
        max_clone_bytes: 200_000,
        ..lab.config(&[server.host()])
    };
    let source = GitSource::new(config).unwrap();
    let url = server.url("owner/repo.git");
    let error = fetch(&source, &url, None, None).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Limit, "{error}");
    assert!(error.message.contains("max_clone_mb"), "{error}");
    let left: Vec<_> = std::fs::read_dir(lab.data().join("mirrors"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with(".lock"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn the_surrounding_repository_is_not_asked() {
    let lab = Lab::new();
    let outer = lab.path("data");
    std::fs::create_dir_all(&outer).unwrap();
    git(&lab.path(""), &["init", "-q", "."]);
    git(
        &lab.path(""),
        &[
            "config",
            "url./nowhere/.insteadOf",
            lab.bare().to_str().unwrap(),
        ],
    );
    let (source, base) = lab.local().await;
    assert_eq!(base.branch, "main");
    source.discard(&crate::lab::run()).await.unwrap();
}

#[tokio::test]
async fn a_git_that_cannot_pin_an_address_is_refused() {
    let lab = Lab::new();
    let server = lab.serve(Behaviour::Open).await;
    for answer in ["git version 2.36.9", "nonsense"] {
        let line = format!("case \"$*\" in *version) echo '{answer}'; exit;; esac");
        let config = SourceConfig {
            git: lab.git_after(&line),
            ..lab.config(&[server.host()])
        };
        let source = GitSource::new(config).unwrap();
        let error = fetch(&source, &server.url("owner/repo.git"), None, None)
            .await
            .unwrap_err();
        assert_eq!(error.kind, FailureKind::Config);
        assert!(error.message.contains("2.37 or newer"), "{error}");
    }
    let config = SourceConfig {
        git: "/missing/git".into(),
        ..lab.config(&[server.host()])
    };
    let error = GitSource::new(config)
        .unwrap()
        .git_version()
        .await
        .unwrap_err()
        .message;
    assert!(error.contains("/missing/git"), "{error}");
    assert!(server.seen().is_empty());
}
