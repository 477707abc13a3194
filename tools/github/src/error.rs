//! Why a GitHub tool server cannot start.

/// Why a GitHub tool server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum GithubError {
    /// The API's address cannot be used.
    #[error("the GitHub API URL `{url}` {reason}")]
    ApiUrl {
        /// The address, without any credentials in it.
        url: String,
        /// What is wrong with it, and what to do.
        reason: &'static str,
    },
    /// The git origin cannot be used.
    #[error(
        "`{0}` is not an origin of git URLs; give scheme and host, such as `https://github.com`"
    )]
    Origin(String),
    /// The token is not one.
    #[error("the value of {env} is not a token: it {reason}; set it to the token alone")]
    Token {
        /// The environment variable.
        env: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// There is a GitHub App and a token.
    #[error("there are two accounts, a GitHub App and the token in {0}: remove one of them")]
    TwoAccounts(String),
    /// This is no GitHub App's id.
    #[error("`{0}` is not the id of a GitHub App; it is a number, or a client id without blanks")]
    AppId(String),
    /// The App's key cannot be used.
    #[error(
        "the private key of the GitHub App in {source_of_key} {reason}; create one in the settings \
         of the App, and use the file as it was downloaded"
    )]
    AppKey {
        /// Where the key comes from.
        source_of_key: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// No trusted certificates could be set up.
    #[error("no TLS connection can be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// There is no runtime to run on.
    #[error("the GitHub tool server must be made inside a Tokio runtime")]
    NoRuntime,
}
