//! Who may call `serve`, how often, and from which pages.

use std::net::IpAddr;
use std::num::NonZeroU32;

use ipnet::IpNet;
use url::Url;

use super::ConfigError;
use super::section::Section;

/// More of anything in a minute is no limit any more.
const MOST_PER_MINUTE: u32 = 1_000_000;

/// Who may call `serve`, how often, and from which pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessConfig {
    /// Whether an API key is needed even where there is none and only this machine can call.
    pub require_keys: bool,
    /// Requests of one key, and of one address, in a minute.
    pub requests_per_minute: NonZeroU32,
    /// How many of them may come at once.
    pub request_burst: NonZeroU32,
    /// Requests with a wrong key from one address in a minute.
    pub failed_auth_per_minute: NonZeroU32,
    /// The proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The origins of pages of other sites that may call, such as `https://app.example.com`.
    pub allowed_origins: Vec<String>,
    /// Names by which the server is called, beside addresses and `localhost`.
    pub allowed_hosts: Vec<String>,
}

pub(super) const KEYS: [&str; 7] = [
    "require_keys",
    "requests_per_minute",
    "request_burst",
    "failed_auth_per_minute",
    "trusted_proxies",
    "allowed_origins",
    "allowed_hosts",
];

impl Default for AccessConfig {
    /// Twenty requests a second are more than a page with some open runs or a poller makes.
    fn default() -> Self {
        let number = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        Self {
            require_keys: false,
            requests_per_minute: number(1200),
            request_burst: number(200),
            failed_auth_per_minute: number(20),
            trusted_proxies: Vec::new(),
            allowed_origins: Vec::new(),
            allowed_hosts: Vec::new(),
        }
    }
}

impl AccessConfig {
    /// From the section `server`, which has other keys, too.
    pub(super) fn read(section: &Section<'_>) -> Result<Self, ConfigError> {
        let default = Self::default();
        let count = |key, default| -> Result<NonZeroU32, ConfigError> {
            let count = section.small_integer(key, 1..=MOST_PER_MINUTE)?;
            Ok(count.and_then(NonZeroU32::new).unwrap_or(default))
        };
        Ok(Self {
            require_keys: section.boolean("require_keys")?.unwrap_or(false),
            requests_per_minute: count("requests_per_minute", default.requests_per_minute)?,
            request_burst: count("request_burst", default.request_burst)?,
            failed_auth_per_minute: count(
                "failed_auth_per_minute",
                default.failed_auth_per_minute,
            )?,
            trusted_proxies: each(section, "trusted_proxies", network)?,
            allowed_origins: each(section, "allowed_origins", origin)?,
            allowed_hosts: each(section, "allowed_hosts", host)?,
        })
    }
}

/// Each string of a list, as `read` makes it or says what is wrong with it.
fn each<T>(
    section: &Section<'_>,
    key: &str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, ConfigError> {
    let texts = section.strings(key)?.unwrap_or_default();
    let values = texts.iter().map(|text| read(text));
    let values: Result<_, String> = values.collect();
    values.map_err(|message| section.error(key, message))
}

fn network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse().or_else(|_| address()).map_err(|_| {
        format!("`{text}` is no network; write an address or a range such as 10.0.0.0/8")
    })
}

fn origin(text: &str) -> Result<String, String> {
    let url = Url::parse(text).ok();
    let web = url.filter(|url| matches!(url.scheme(), "http" | "https"));
    match web.map(|url| url.origin().ascii_serialization()) {
        Some(origin) if origin == text => Ok(origin),
        Some(origin) => Err(format!("`{text}` is no origin; did you mean `{origin}`?")),
        None => Err(format!(
            "`{text}` is no origin; write one such as https://app.example.com"
        )),
    }
}

fn host(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    if !text.is_empty() && text.chars().all(plain) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(format!(
        "`{text}` is no host name; write one without scheme and port, such as pullwright.example.com"
    ))
}
