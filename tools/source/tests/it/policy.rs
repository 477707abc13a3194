//! The rules of a configuration, on work that comes out of a sandbox.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pullwright_core::config::{Notable, PolicyConfig};
use pullwright_core::source::{Push, RepositoryFiles, Source, Work};
use pullwright_protocol::FailureKind;
use pullwright_source::{GitSource, KnownSecret, SourceConfig};

use crate::http_backend::Behaviour;
use crate::lab::{Lab, bundle, commit, fetch, git, run, take_in, token};

/// The value of a variable of this server.
const SECRET: &str = "value/of:the+variable-9Qz";

fn config(lab: &Lab, policy: PolicyConfig) -> SourceConfig {
    SourceConfig {
        allow_local_paths: true,
        policy,
        secrets: vec![KnownSecret::new("`MODEL_KEY`", SECRET)],
        ..lab.config(&[])
    }
}

/// Takes in a change of these files.
async fn change(lab: &Lab, policy: PolicyConfig, files: &[(&str, &[u8])]) -> Work {
    let source = GitSource::new(config(lab, policy)).unwrap();
    let url = lab.bare();
    let base = fetch(&source, url.to_str().unwrap(), None, None)
        .await
        .unwrap();
    let _ = std::fs::remove_dir_all(lab.path("sandbox"));
    let sandbox = lab.sandbox(&source, &base).await;
    for (path, content) in files {
        let path = sandbox.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    git(&sandbox, &["add", "-A", "-f"]);
    commit(&sandbox, "work");
    take_in(&source, &base, &bundle(&sandbox, &base.commit))
        .await
        .unwrap()
}

#[tokio::test]
async fn a_refusal_names_the_file_and_the_rule() {
    let lab = Lab::new();
    let policy = PolicyConfig {
        protected: vec!["CODEOWNERS".into(), "infra/**".into()],
        allow: vec!["infra/docs/**".into()],
        ..PolicyConfig::default()
    };
    let files: &[(&str, &[u8])] = &[
        (".github/CODEOWNERS", b"* @me\n"),
        (".github/workflows/ci.yml", b"on: push\n"),
        ("infra/main.tf", b"x\n"),
        ("infra/docs/a.md", b"x\n"),
        ("src/lib.rs", b"pub fn three() {}\n"),
    ];
    let work = change(&lab, policy, files).await;
    assert_eq!(
        work.refusals,
        [
            "`.github/CODEOWNERS` is protected by `[policy]` (`CODEOWNERS`)",
            "`.github/workflows/ci.yml` may run with the repository's rights (`.github/workflows/**`)",
            "`infra/main.tf` is protected by `[policy]` (`infra/**`)",
        ]
    );
    assert!(
        String::from_utf8_lossy(&work.patch).contains("infra/main.tf"),
        "it is kept"
    );
    let allowed = PolicyConfig {
        allow: vec![".github/**".into(), "infra".into()],
        ..PolicyConfig::default()
    };
    let work = change(&lab, allowed, files).await;
    assert_eq!(work.refusals, Vec::<String>::new());
}

#[tokio::test]
async fn sizes_are_bounded_by_configuration() {
    let lab = Lab::new();
    let large = vec![b'x'; 1_200_000];
    let two: &[(&str, &[u8])] = &[("a.txt", &large), ("b.txt", &large)];
    let policy = |file, change, files| PolicyConfig {
        max_file_mb: file,
        max_change_mb: change,
        max_files: files,
        ..PolicyConfig::default()
    };
    for (policy, reason) in [
        (
            policy(1, 10, 10),
            "`a.txt` has 1 MiB, more than the 1 MiB of `[policy] max_file_mb`",
        ),
        (
            policy(10, 2, 10),
            "the changed files have 2 MiB, more than the 2 MiB of `[policy] max_change_mb`",
        ),
        (
            policy(10, 10, 1),
            "2 files change, more than the 1 of `[policy] max_files`",
        ),
    ] {
        let work = change(&lab, policy, two).await;
        assert_eq!(work.refusals[0], reason);
    }
    let work = change(&lab, policy(2, 3, 2), two).await;
    assert_eq!(work.refusals, Vec::<String>::new());
}

#[tokio::test]
async fn what_nobody_wrote_is_told_and_refused_where_configured() {
    let lab = Lab::new();
    let minified = "var a=1;".repeat(5000);
    let files: &[(&str, &[u8])] = &[
        ("picture.png", b"\x89PNG\0\0"),
        ("node_modules/left-pad/index.js", b"x\n"),
        ("src/__pycache__/a.cpython-311.pyc", b"\0x"),
        (".DS_Store", b"\0x"),
        ("README.md.orig", b"x\n"),
        ("Cargo.lock", b"x\n"),
        ("web/app.js", minified.as_bytes()),
        ("good/Cargo.toml", b"x\n"),
        ("good/Cargo.lock", b"x\n"),
        ("docs/build.md", b"x\n"),
    ];
    let work = change(&lab, PolicyConfig::default(), files).await;
    assert_eq!(work.refusals, Vec::<String>::new());
    assert_eq!(
        work.notices,
        [
            "6 changed files look generated or left behind by mistake: `.DS_Store`, `Cargo.lock`, `README.md.orig`, \
             `node_modules/left-pad/index.js`, `src/__pycache__/a.cpython-311.pyc` and 1 more",
            "3 changed files are not text: `.DS_Store`, `picture.png`, `src/__pycache__/a.cpython-311.pyc`",
        ]
    );
    let strict = PolicyConfig {
        binary: Notable::Refuse,
        noise: Notable::Refuse,
        ..PolicyConfig::default()
    };
    let work = change(&lab, strict, files).await;
    assert_eq!(work.notices, Vec::<String>::new());
    assert!(
        work.refusals.contains(
            &"`Cargo.lock` looks generated or left behind (a lock file without `Cargo.toml`), which `[policy] noise` \
              refuses"
                .to_owned()
        ),
        "{:?}",
        work.refusals
    );
    assert!(
        work.refusals
            .contains(&"`picture.png` is not text, which `[policy] binary` refuses".to_owned()),
        "{:?}",
        work.refusals
    );
    let silent = PolicyConfig {
        binary: Notable::Allow,
        noise: Notable::Allow,
        ..PolicyConfig::default()
    };
    let work = change(&lab, silent, files).await;
    assert_eq!((work.notices, work.refusals), (Vec::new(), Vec::new()));
}

/// A repository that keeps such a folder goes on doing so.
#[tokio::test]
async fn what_the_base_has_already_is_no_noise() {
    let lab = Lab::new();
    let seed = lab.path("seed");
    std::fs::create_dir(seed.join("dist")).unwrap();
    std::fs::write(seed.join("dist/a.js"), "a\n").unwrap();
    std::fs::write(seed.join("old.orig"), "a\n").unwrap();
    git(&seed, &["add", "-A", "-f"]);
    commit(&seed, "dist");
    git(&seed, &["push", "-q", lab.bare().to_str().unwrap(), "main"]);
    let files: &[(&str, &[u8])] = &[("dist/b.js", b"b\n"), ("old.orig", b"b\n")];
    let work = change(&lab, PolicyConfig::default(), files).await;
    assert_eq!(work.notices, Vec::<String>::new());
}

#[tokio::test]
async fn secrets_of_the_server_are_found_and_never_shown() {
    let lab = Lab::new();
    let verbatim = format!("one\nkey = {SECRET}\n");
    let encoded = format!("x\n\n{}\n", STANDARD.encode(format!("user:{SECRET}")));
    let files: &[(&str, &[u8])] = &[
        ("config.txt", verbatim.as_bytes()),
        ("encoded.txt", encoded.as_bytes()),
        ("binary", &[b"\0\0", SECRET.as_bytes()].concat()),
        ("value-of-the-variable", b"nothing\n"),
        ("harmless.txt", b"x\n"),
    ];
    let work = change(&lab, PolicyConfig::default(), files).await;
    let told = |file: &str, place: &str| {
        format!(
            "`{file}` holds the value of `MODEL_KEY` in {place}, as it is or encoded; take it out, and read it from \
             the environment"
        )
    };
    let expected = [
        told("binary", "line 1"),
        told("config.txt", "line 2"),
        told("encoded.txt", "line 3"),
    ];
    assert_eq!(work.refusals, expected);
    let patch = String::from_utf8_lossy(&work.patch).into_owned();
    assert!(
        patch.starts_with("3 of the changed files hold a secret of the server"),
        "{patch}"
    );
    assert!(
        patch.contains("harmless.txt") && !patch.contains("config.txt"),
        "{patch}"
    );
    let shown = format!("{work:?}");
    assert!(!shown.contains(SECRET), "{shown}");
}

#[tokio::test]
async fn a_secret_in_a_name_is_not_shown_either() {
    let lab = Lab::new();
    let hex: String = SECRET.bytes().map(|byte| format!("{byte:02x}")).collect();
    let name = format!("data-{hex}.txt");
    let work = change(&lab, PolicyConfig::default(), &[(&name, b"x\n")]).await;
    assert_eq!(work.refusals.len(), 1);
    assert!(
        work.refusals[0].starts_with("`data-….txt` holds the value of `MODEL_KEY` in its name")
    );
    assert_eq!(work.changed[0].path, "data-….txt");
    assert!(!String::from_utf8_lossy(&work.patch).contains(&hex));
}

/// A line that was there before is nobody's new leak.
#[tokio::test]
async fn lines_of_the_base_are_not_refused() {
    let lab = Lab::new();
    let seed = lab.path("seed");
    std::fs::write(seed.join("old"), format!("{SECRET}\n")).unwrap();
    commit(&seed, "old");
    git(&seed, &["push", "-q", lab.bare().to_str().unwrap(), "main"]);
    let grown = format!("new\n{SECRET}\n");
    let work = change(&lab, PolicyConfig::default(), &[("old", grown.as_bytes())]).await;
    assert_eq!(work.refusals, Vec::<String>::new());
}

/// What a run authenticates with comes and goes, and is looked for all the same.
#[tokio::test]
async fn the_credential_in_use_is_found() {
    const TOKEN: &str = "per-run-token-8Zq";
    let lab = Lab::new();
    let (user, password) = ("x-access-token".to_owned(), TOKEN.to_owned());
    let server = lab.serve(Behaviour::Password { user, password }).await;
    let source = lab.source(&[server.host()]);
    let credential = token(&server.origin(), TOKEN);
    let url = server.url("owner/repo.git");
    let base = fetch(&source, &url, None, Some(&credential)).await.unwrap();
    let sandbox = lab.sandbox(&source, &base).await;
    std::fs::write(sandbox.join("new"), format!("x = {TOKEN}\n")).unwrap();
    commit(&sandbox, "work");
    let work = take_in(&source, &base, &bundle(&sandbox, &base.commit)).await;
    let work = work.unwrap();
    let expected = format!(
        "`new` holds the value of the credential for `{}`",
        server.origin()
    );
    assert!(
        work.refusals[0].starts_with(&expected),
        "{:?}",
        work.refusals
    );
    let push = Push {
        run: &run(),
        base: &base,
        work: &work,
        moved: None,
        to: None,
        branch: "pullwright/leak",
        grows: false,
        begun_at: &[],
        message: "Add new",
        credential: Some(&credential),
    };
    let error = source.push(push).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Push);
    assert!(!error.message.contains(TOKEN), "{error}");
}

#[tokio::test]
async fn a_wrong_glob_is_told_at_the_start() {
    let lab = Lab::new();
    let policy = PolicyConfig {
        protected: vec!["a[".into()],
        ..PolicyConfig::default()
    };
    let error = GitSource::new(config(&lab, policy)).unwrap_err();
    assert_eq!(error.kind, FailureKind::Config);
    assert!(
        error.message.contains("`[policy]`, `a[` is not a glob"),
        "{error}"
    );
}

#[tokio::test]
async fn what_a_checkout_will_not_have_is_told() {
    let lab = Lab::new();
    let (source, base) = lab.local().await;
    assert_eq!(source.notices(&base).await.unwrap(), Vec::<String>::new());
    let seed = lab.path("seed");
    let pointer = format!(
        "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 12345\n",
        "a".repeat(64)
    );
    std::fs::write(seed.join("model.bin"), &pointer).unwrap();
    std::fs::write(seed.join("src/other.bin"), &pointer).unwrap();
    std::fs::write(
        seed.join(".gitattributes"),
        "*.bin filter=lfs diff=lfs merge=lfs -text\n",
    )
    .unwrap();
    let head = crate::lab::text(&seed, &["rev-parse", "HEAD"]);
    let link = format!("160000,{head},vendor/lib");
    git(&seed, &["update-index", "--add", "--cacheinfo", &link]);
    git(&seed, &["add", "model.bin", "src", ".gitattributes"]);
    git(&seed, &["commit", "-q", "-m", "lfs"]);
    git(&seed, &["push", "-q", lab.bare().to_str().unwrap(), "main"]);
    let url = lab.bare();
    let base = fetch(&source, url.to_str().unwrap(), None, None)
        .await
        .unwrap();
    assert_eq!(
        source.notices(&base).await.unwrap(),
        [
            "2 files are pointers of Git LFS; the content is not fetched: `model.bin`, `src/other.bin`",
            "1 submodule is not checked out: `vendor/lib`",
        ]
    );
}
