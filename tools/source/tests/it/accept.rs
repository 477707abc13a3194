//! Which URLs are taken.

use pullwright_core::source::Source;
use pullwright_protocol::FailureKind;
use pullwright_source::{GitSource, SourceConfig};

use crate::lab::Lab;

fn source(lab: &Lab, local: bool) -> GitSource {
    let hosts = [
        "github.com",
        "127.0.0.1:4600",
        "git.example.com:8443",
        "ssh://git.example.org",
    ];
    let config = lab.config(&hosts.map(str::to_owned));
    GitSource::new(SourceConfig {
        allow_local_paths: local,
        ..config
    })
    .unwrap()
}

#[test]
fn takes_listed_hosts_and_normalises_them_once() {
    let lab = Lab::new();
    let source = source(&lab, true);
    for (url, taken, origin, path) in [
        (
            "https://github.com/o/r",
            "https://github.com/o/r",
            "https://github.com",
            "o/r",
        ),
        (
            "HTTPS://GitHub.com./o/r.git/",
            "https://github.com/o/r.git",
            "https://github.com",
            "o/r",
        ),
        (
            "https://github.com:443/o/r",
            "https://github.com/o/r",
            "https://github.com",
            "o/r",
        ),
        (
            "http://127.0.0.1:4600/r.git",
            "http://127.0.0.1:4600/r.git",
            "http://127.0.0.1:4600",
            "r",
        ),
        (
            "https://git.example.com:8443/a/b/c",
            "https://git.example.com:8443/a/b/c",
            "https://git.example.com:8443",
            "a/b/c",
        ),
        (
            "ssh://git@git.example.org/o/r.git",
            "ssh://git@git.example.org/o/r.git",
            "ssh://git.example.org",
            "o/r",
        ),
        (
            "git@git.example.org:o/r.git",
            "git@git.example.org:o/r.git",
            "ssh://git.example.org",
            "o/r",
        ),
        (
            "https://github.com/o/my%20repo",
            "https://github.com/o/my%20repo",
            "https://github.com",
            "o/my%20repo",
        ),
    ] {
        let repository = source.accept(url).unwrap();
        assert_eq!(repository.url, taken);
        assert_eq!(repository.origin.as_deref(), Some(origin), "{url}");
        assert_eq!(repository.path.join("/"), path, "{url}");
        assert_eq!(source.accept(&repository.url).unwrap(), repository, "{url}");
    }
    for url in ["/srv/git/repo.git", "file:///srv/git/repo.git"] {
        let repository = source.accept(url).unwrap();
        assert_eq!(repository.url, "/srv/git/repo.git");
        assert_eq!((repository.origin, repository.host), (None, None));
    }
}

#[test]
fn refuses_everything_else_with_a_reason() {
    let lab = Lab::new();
    let (serve, cli) = (source(&lab, false), source(&lab, true));
    let (bad, forbidden) = (FailureKind::BadRequest, FailureKind::Repository);
    for (url, kind, reason) in [
        ("", bad, "1 to 2048 bytes"),
        (
            "https://evil.example/o/r",
            forbidden,
            "add \"evil.example\" to `[repositories] hosts`",
        ),
        (
            "https://github.com.evil.example/o/r",
            forbidden,
            "not allowed",
        ),
        ("https://xgithub.com/o/r", forbidden, "not allowed"),
        (
            "https://github.com:8443/o/r",
            forbidden,
            "add \"github.com:8443\"",
        ),
        ("http://github.com/o/r", forbidden, "add \"github.com:80\""),
        ("http://127.0.0.1/r", forbidden, "not allowed"),
        (
            "ssh://github.com/o/r",
            forbidden,
            "add \"ssh://github.com\"",
        ),
        ("git@github.com:o/r", forbidden, "add \"ssh://github.com\""),
        (
            "ssh://git.example.org:2222/o/r",
            forbidden,
            "ssh://git.example.org:2222",
        ),
        ("ext::sh -c id", bad, "spaces"),
        ("ext::sh", forbidden, "transport helper"),
        ("fd::17", forbidden, "transport helper"),
        ("ftp://github.com/o/r", forbidden, "scheme"),
        ("git://github.com/o/r", forbidden, "scheme"),
        ("-uhttps://github.com/o/r", bad, "dash"),
        ("--upload-pack=x", bad, "dash"),
        ("https://-oProxyCommand=x/o/r", bad, "not a host name"),
        ("ssh://-oProxyCommand=x/o/r", bad, "not a host name"),
        ("https://github.com/o/r\n", bad, "control"),
        ("https://github.com/o/\u{0}r", bad, "control"),
        ("https://user:hunter2@github.com/o/r", bad, "credential"),
        ("https://hunter2@github.com/o/r", bad, "credential"),
        ("ssh://git:hunter2@git.example.org/o/r", bad, "credential"),
        ("https://github.com@evil.example/o/r", bad, "credential"),
        ("https://github.com\\@evil.example/o/r", bad, "backslash"),
        ("https://github.com/o/../r", bad, "`..`"),
        ("https://github.com/o/%2e%2e/r", bad, "encoded"),
        ("https://github.com/o%2fr", bad, "encoded"),
        ("https://github.com/o/r%0a", bad, "encoded"),
        ("https://github.com/o/r%", bad, "encoded"),
        ("https://github.com/o/r%2525", bad, "encoded"),
        ("https://github.com", bad, "nothing where"),
        ("https://github.com/", bad, "nothing where"),
        ("https://github.com//r", bad, "nothing where"),
        ("https://github.com/.git", bad, "nothing where"),
        ("https://github.com/o/r?x=1", bad, "query"),
        ("https://github.com/o/r#x", bad, "fragment"),
        ("https:///o/r", bad, "empty"),
        ("https://gith\u{fc}b.com/o/r", bad, "ASCII"),
        ("https://github%2ecom/o/r", bad, "not a host name"),
        ("https://2130706433/o/r", bad, "an address is written like"),
        ("https://0x7f.1/o/r", bad, "an address is written like"),
        ("https://0x7f000001/o/r", bad, "an address is written like"),
        ("http://127.1:4600/r", bad, "an address is written like"),
        (
            "http://0177.0.0.1:4600/r",
            bad,
            "an address is written like",
        ),
        ("http://[::1]:4600/r", forbidden, "add \"[::1]:4600\""),
        ("http://[::ffff:127.0.0.1]:4600/r", forbidden, "not allowed"),
        ("http://127.0.0.1:04600/r", bad, "not a port"),
        ("http://127.0.0.1:99999/r", bad, "not a port"),
        ("https://github.com:/o/r", bad, "not a port"),
        ("github.com/o/r", bad, "not a git URL"),
        ("just words", bad, "spaces"),
        ("C:\\repo", bad, "backslash"),
        ("/etc", forbidden, "local path"),
        ("file:///etc", forbidden, "local path"),
        ("FILE:///etc", forbidden, "local path"),
        ("../x", forbidden, "local path"),
        ("~/x", forbidden, "local path"),
    ] {
        let error = serve.accept(url).unwrap_err();
        assert_eq!(error.kind, kind, "{url:?}: {error}");
        assert!(error.message.contains(reason), "{url:?}: {error}");
        assert!(!error.message.contains("hunter2"), "{url:?}: {error}");
    }
    assert!(
        serve
            .accept(&format!("https://github.com/{}", "x".repeat(3000)))
            .is_err()
    );
    for url in [
        "relative/path",
        "./x",
        "~/x",
        "file://host/x",
        "/",
        "/a/../b",
        "/a\nb",
    ] {
        assert!(cli.accept(url).is_err(), "{url}");
    }
}

#[test]
fn a_wrong_host_list_is_told_at_the_start() {
    let lab = Lab::new();
    for entry in [
        "",
        "https://github.com",
        "*",
        "a b",
        "host:0",
        "host:x",
        "user@host",
        "127.1",
    ] {
        let error = GitSource::new(lab.config(&[entry.to_owned()])).unwrap_err();
        assert_eq!(error.kind, FailureKind::Config, "{entry}");
        assert!(error.message.contains("[repositories] hosts"), "{error}");
    }
}
