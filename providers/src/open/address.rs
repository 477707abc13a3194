//! Where a row's service is, and whether a key may travel there.

use url::{Host, Url};

use super::{OpenError, ProviderSettings, has_secrets};

/// Where a row's service is. Without a key there is none to protect on the way.
pub(crate) fn address(settings: &ProviderSettings, default: &str) -> Result<Url, OpenError> {
    match &settings.base_url {
        Some(url) if !has_secrets(settings) && url.scheme() == "http" && !has_credentials(url) => {
            Ok(url.clone())
        }
        given => base_url(given.clone(), default, &settings.name),
    }
}

/// A key must not travel in the clear, except to this machine.
fn base_url(given: Option<Url>, default: &str, row: &str) -> Result<Url, OpenError> {
    let Some(url) = given.or_else(|| Url::parse(default).ok()) else {
        let row = row.to_owned();
        return Err(OpenError::MissingSetting {
            row,
            key: "base_url",
            hint: "say where the API is",
        });
    };
    let reason = match url.scheme() {
        _ if has_credentials(&url) => "holds credentials; use `env_key`",
        "https" => return Ok(url),
        "http" if is_loopback(&url) => return Ok(url),
        "http" => "would send the key in the clear; use https",
        _ => "is not an https URL",
    };
    Err(OpenError::BaseUrl {
        row: row.to_owned(),
        url: without_secrets(url),
        reason,
    })
}

/// A URL as an error may show it: a key may be in its credentials, its query or its fragment, and of one
/// without a host it may be anything.
fn without_secrets(mut url: Url) -> String {
    if url.cannot_be_a_base() {
        return format!("{}:…", url.scheme());
    }
    // Neither can fail for a URL that has credentials, and others have none to remove.
    let _ = (url.set_username(""), url.set_password(None));
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

fn has_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}
