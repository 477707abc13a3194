//! The oldest git that keeps the promises.

use pullwright_core::source::SourceError;
use pullwright_protocol::FailureKind;

use crate::config::SourceConfig;
use crate::git::Call;

/// An older git ignores `http.curloptResolve` without a word, and would look the host up again.
const OLDEST: (u32, u32) = (2, 37);

/// Asks git for its version and refuses one that is too old.
pub(crate) async fn check(config: &SourceConfig) -> Result<String, SourceError> {
    let output = Call::local(config, ["version"]).run(config).await?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match parse(&said) {
        Some(found) if output.success && found >= OLDEST => Ok(said),
        _ => Err(SourceError::new(
            FailureKind::Config,
            format!(
                "git {}.{} or newer is needed, but `{} version` says `{said}{}`; install a newer git",
                OLDEST.0,
                OLDEST.1,
                config.git.display(),
                output.stderr.trim(),
            ),
        )),
    }
}

fn parse(said: &str) -> Option<(u32, u32)> {
    let mut numbers = said.strip_prefix("git version ")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn versions_of_every_vendor() {
        assert_eq!(parse("git version 2.47.3"), Some((2, 47)));
        assert_eq!(parse("git version 2.39.5 (Apple Git-154)"), Some((2, 39)));
        assert_eq!(parse("git version 2.50.1.windows.1"), Some((2, 50)));
        assert_eq!(parse("nonsense"), None);
    }
}
