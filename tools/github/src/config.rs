//! What a GitHub tool server is told when it starts.

use std::fmt;
use std::time::Duration;

use url::Url;

use crate::api::Accounts;

/// Where GitHub is and how to authenticate there.
#[derive(Clone, Debug)]
pub struct GithubConfig {
    /// The REST API's base, such as `https://api.github.com` or `https://ghe.example.com/api/v3`.
    pub api_url: Url,
    /// The origin of the git URLs it serves, such as `https://github.com`.
    pub origin: String,
    /// The token; without one only public repositories can be read.
    pub token: Option<Secret>,
    /// Where the token comes from, such as the name of an environment variable, for messages.
    pub token_env: String,
    /// The GitHub App to work as, instead of with a token.
    pub app: Option<AppConfig>,
    /// The `User-Agent` of each request; GitHub refuses requests without one.
    pub user_agent: String,
    /// How long to wait for what.
    pub limits: HttpLimits,
    /// What is known of the accounts of this process, which its tool servers share.
    pub accounts: Accounts,
}

/// A GitHub App. Its tokens are good for one repository each, and are renewed before they expire.
#[derive(Clone, Debug)]
pub struct AppConfig {
    /// Its id, or its client id.
    pub id: String,
    /// Its private key in PEM, of PKCS #1 or PKCS #8.
    pub key: Secret,
    /// Where the key comes from, such as the name of a variable or a file, for messages.
    pub key_source: String,
    /// Whether files under `.github/workflows` may be pushed, which the App must have the right to.
    pub workflows: bool,
    /// Whether its tokens are for comments and checks, and not for pushing.
    pub talks: bool,
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// An address that does not answer costs no more than this.
    pub connect_timeout: Duration,
    /// A request that is not fully answered by then is given up.
    pub request_timeout: Duration,
    /// The pause before a request is tried again; it doubles each time.
    pub retry_delay: Duration,
    /// GitHub may ask to wait for up to an hour; a longer wait than this is an error instead, so
    /// that a run does not stand still without a word.
    pub longest_wait: Duration,
    /// The time between two requests of an account that create content, which GitHub asks for.
    pub write_pause: Duration,
}

/// A value that never shows itself.
#[derive(Clone)]
pub struct Secret(String);

impl Default for GithubConfig {
    fn default() -> Self {
        #[expect(clippy::expect_used, reason = "a constant that is a URL")]
        let api_url = Url::parse("https://api.github.com").expect("a URL");
        Self {
            api_url,
            origin: "https://github.com".to_owned(),
            token: None,
            token_env: "GITHUB_TOKEN".to_owned(),
            app: None,
            user_agent: concat!("pullwright/", env!("CARGO_PKG_VERSION")).to_owned(),
            limits: HttpLimits::default(),
            accounts: Accounts::default(),
        }
    }
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            retry_delay: Duration::from_millis(500),
            longest_wait: Duration::from_secs(60),
            write_pause: Duration::from_secs(1),
        }
    }
}

impl Secret {
    /// Hides `value`. White space around it, such as a file's last line break, is dropped.
    pub fn new(value: impl AsRef<str>) -> Self {
        Self(value.as_ref().trim().to_owned())
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
