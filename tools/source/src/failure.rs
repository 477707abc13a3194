//! What git's words mean: a kind, a sentence and a remedy.

use pullwright_core::source::SourceError;
use pullwright_protocol::FailureKind;

use crate::refused;

/// How much of git's own words is kept, in characters.
const KEPT_CHARS: usize = 600;

/// What git was doing when it failed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Doing<'a> {
    Asking,
    Fetching,
    /// To this branch.
    Pushing(&'a str),
}

const NOT_FOUND: &[&str] = &[
    "not found",
    "returned error: 404",
    "does not exist",
    "does not appear to be a git repository",
];
const NO_CREDENTIAL: &[&str] = &[
    "terminal prompts disabled",
    "could not read username",
    "could not read password",
];
const BAD_CREDENTIAL: &[&str] = &[
    "authentication failed",
    "returned error: 401",
    "returned error: 403",
    "permission denied (publickey",
    "host key verification failed",
    "invalid credentials",
];
const PLAIN_FILES: &[&str] = &["dumb http transport"];
/// The remote broke, or the way to it: another attempt may find both well.
const PASSING: &[&str] = &[
    "returned error: 429",
    "returned error: 500",
    "returned error: 502",
    "returned error: 503",
    "returned error: 504",
    "empty reply from server",
    "connection reset",
    "recv failure",
    "send failure",
    "timed out",
    "operation too slow",
    "failed to connect",
    "couldn't connect to server",
    "connection refused",
    "unexpected disconnect",
    "hung up unexpectedly",
    "early eof",
    "transfer closed with",
    "unexpected flush packet",
    "could not resolve host",
    "ssl_error_syscall",
    "unexpected eof while reading",
    "non-properly terminated",
    "error in the pull function",
    "was not closed cleanly",
    "connection closed by",
    "closed by remote host",
    "rpc failed; curl 16 ",
    "rpc failed; curl 18 ",
    "rpc failed; curl 55 ",
    "rpc failed; curl 56 ",
    "rpc failed; curl 92 ",
];
/// What is no repository when it is to be pushed to was one a moment ago: a page of an outage stands in for it.
const NO_REPOSITORY_NOW: &[&str] = &["not valid: is this a git repository"];
const REDIRECTED: &[&str] = &[
    "returned error: 301",
    "returned error: 302",
    "returned error: 303",
    "returned error: 307",
    "returned error: 308",
];

/// Turns git's failure into an error.
pub(crate) fn explain(doing: Doing<'_>, url: &str, credential: bool, stderr: &str) -> SourceError {
    let said = last_words(stderr);
    let low = stderr.to_ascii_lowercase();
    let hears = |phrases: &[&str]| phrases.iter().any(|phrase| low.contains(phrase));
    let error = |kind, what: String| SourceError::new(kind, format!("{what}; git said: {said}"));
    if let Doing::Pushing(branch) = doing
        && !hears(PASSING)
        && let Some((words, remedy)) = refused::by_rule(stderr)
    {
        let what = format!("`{url}` refuses the push to the branch `{branch}`: {words}; {remedy}");
        return SourceError::new(FailureKind::Credential, what);
    }
    if hears(BAD_CREDENTIAL) || (credential && hears(NO_CREDENTIAL)) {
        return error(FailureKind::Credential, refused(doing, url, credential));
    }
    if hears(NO_CREDENTIAL) {
        return match doing {
            Doing::Pushing(_) => error(FailureKind::Credential, refused(doing, url, credential)),
            Doing::Asking | Doing::Fetching => error(
                FailureKind::Repository,
                format!(
                    "`{url}` does not exist, or is private and needs a credential: a \
                     forge of [tools] with a token, or a row of [credentials]"
                ),
            ),
        };
    }
    if hears(REDIRECTED) || low.contains("unable to update url base from redirection") {
        return error(
            FailureKind::Repository,
            format!("`{url}` redirects, which is not followed; give the address it leads to"),
        );
    }
    if hears(PLAIN_FILES) {
        return error(
            FailureKind::Repository,
            format!("`{url}` serves plain files and not git's own protocol, which is not taken"),
        );
    }
    if hears(NOT_FOUND) {
        return error(
            FailureKind::Repository,
            format!("`{url}` is not a repository that can be seen; check the URL and the rights"),
        );
    }
    let broken = match doing {
        Doing::Asking => error(
            FailureKind::Clone,
            format!("`{url}` does not answer as git does"),
        ),
        Doing::Fetching => error(FailureKind::Clone, format!("fetching `{url}` broke")),
        Doing::Pushing(branch) => error(
            FailureKind::Push,
            format!("`{url}` did not take the branch `{branch}`"),
        ),
    };
    let is_gone_for_now = matches!(doing, Doing::Pushing(_)) && hears(NO_REPOSITORY_NOW);
    broken.passing(is_gone_for_now || hears(PASSING))
}

/// git's last lines, on one line.
pub(crate) fn last_words(stderr: &str) -> String {
    let line = stderr
        .lines()
        .map(|line| plain(line.trim()))
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" | ");
    let skip = line.chars().count().saturating_sub(KEPT_CHARS);
    if line.is_empty() {
        "nothing".to_owned()
    } else {
        line.chars().skip(skip).collect()
    }
}

/// A server writes into them too: nothing in it may move a cursor.
pub(crate) fn plain(line: &str) -> String {
    line.chars().filter(|c| !c.is_control()).collect()
}

fn refused(doing: Doing<'_>, url: &str, credential: bool) -> String {
    let right = match doing {
        Doing::Asking | Doing::Fetching => "read",
        Doing::Pushing(_) => "push to",
    };
    if credential {
        format!("the credential was refused: it may not {right} `{url}`, or has expired")
    } else {
        format!(
            "`{url}` wants a credential that may {right} it: configure a forge in [tools] with a \
             token, or a row in [credentials]"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://a.example/o/r";

    #[test]
    fn what_breaks_in_passing_is_told_from_what_does_not() {
        for (said, passes) in [
            (
                "fatal: unable to access 'U': OpenSSL SSL_connect: SSL_ERROR_SYSCALL in connection to a.example:443",
                true,
            ),
            (
                "fatal: unable to access 'U': OpenSSL SSL_read: error:0A000126:SSL routines::unexpected eof while reading, errno 0",
                true,
            ),
            (
                "fatal: unable to access 'U': GnuTLS recv error (-110): The TLS connection was non-properly terminated.",
                true,
            ),
            (
                "fatal: unable to access 'U': GnuTLS, handshake failed: Error in the pull function.",
                true,
            ),
            (
                "error: RPC failed; curl 92 HTTP/2 stream 5 was not closed cleanly: CANCEL (err 8)",
                true,
            ),
            (
                "fatal: unable to access 'U': HTTP/2 stream 1 was not closed cleanly before end of the underlying stream",
                true,
            ),
            (
                "kex_exchange_identification: Connection closed by remote host\nfatal: Could not read from remote repository.\n\n\
              Please make sure you have the correct access rights\nand the repository exists.",
                true,
            ),
            (
                "Connection closed by 192.0.2.7 port 22\nfatal: Could not read from remote repository.",
                true,
            ),
            (
                "error: RPC failed; curl 56 Failure when receiving data from the peer",
                true,
            ),
            (
                "error: RPC failed; curl 18 end of response with 3 bytes missing",
                true,
            ),
            (
                "fetch-pack: unexpected disconnect while reading sideband packet\nfatal: early EOF",
                true,
            ),
            (
                "fatal: unable to access 'U': Could not resolve host: a.example",
                true,
            ),
            (
                "fatal: unable to access 'U': The requested URL returned error: 503",
                true,
            ),
            (
                "error: RPC failed; curl 22 The requested URL returned error: 413",
                false,
            ),
            (
                "fatal: unable to access 'U': SSL certificate problem: self-signed certificate",
                false,
            ),
            (
                "fatal: unable to access 'U': The requested URL returned error: 403",
                false,
            ),
            (
                "remote: Repository not found.\nfatal: repository 'U' not found",
                false,
            ),
            (
                "error: object 1f: badTree: cannot be parsed as a tree\nfatal: fsck error in packed object",
                false,
            ),
        ] {
            for doing in [Doing::Asking, Doing::Fetching, Doing::Pushing("b")] {
                let error = explain(doing, URL, true, said);
                assert_eq!(error.passes, passes, "{doing:?}: {said}");
            }
        }
    }

    #[test]
    fn a_page_instead_of_a_repository_passes_where_it_was_one_before() {
        let said = "fatal: U/info/refs not valid: is this a git repository?";
        for (doing, passes) in [
            (Doing::Asking, false),
            (Doing::Fetching, false),
            (Doing::Pushing("b"), true),
        ] {
            let error = explain(doing, URL, true, said);
            assert_eq!(error.passes, passes, "{doing:?}");
        }
    }
}
