//! Which repository URLs are accepted. No network access, no guessing: what is odd is refused.

use pullwright_core::source::{Repository, SourceError};
use pullwright_protocol::FailureKind;

use crate::host::{Host, HostRule, Scheme, split_port};

/// The longest URL that is taken, in bytes.
const MAX_URL_LEN: usize = 2048;
/// How much of a refused URL a message shows, in characters.
const SHOWN_CHARS: usize = 160;

/// An accepted URL, with what the network needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Accepted {
    pub(crate) repository: Repository,
    /// Absent for a local path.
    pub(crate) endpoint: Option<Endpoint>,
}

/// Where git connects to.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) scheme: Scheme,
    pub(crate) host: Host,
    pub(crate) port: u16,
    /// Whether the configuration names it so exactly that a private address is meant.
    pub(crate) names_private: bool,
}

/// The part of the configuration that decides.
#[derive(Clone, Debug)]
pub(crate) struct UrlPolicy {
    pub(crate) rules: Vec<HostRule>,
    pub(crate) private_hosts: Vec<Host>,
    pub(crate) allow_local_paths: bool,
}

impl UrlPolicy {
    pub(crate) fn accept(&self, url: &str) -> Result<Accepted, SourceError> {
        if url.is_empty() || url.len() > MAX_URL_LEN {
            return Err(bad(format!(
                "a repository URL has 1 to {MAX_URL_LEN} bytes, this one has {}",
                url.len()
            )));
        }
        if url.chars().any(char::is_control) {
            return Err(bad(format!(
                "control characters in the URL `{}`",
                shown(url)
            )));
        }
        if url.starts_with('-') {
            return Err(bad(format!(
                "`{}` begins with a dash, which git would take as an option",
                shown(url)
            )));
        }
        match local_path(url) {
            Some(path) => self.accept_local(url, path),
            None => self.accept_remote(url),
        }
    }

    fn accept_local(&self, url: &str, path: &str) -> Result<Accepted, SourceError> {
        if !self.allow_local_paths {
            return Err(forbidden(format!(
                "`{}` is a local path, which is not allowed here; give an https URL",
                shown(url)
            )));
        }
        if !path.starts_with('/') || path.contains('%') && url != path {
            return Err(bad(format!(
                "`{}` is not an absolute path; write /folder/repository",
                shown(url)
            )));
        }
        let path = path.trim_end_matches('/');
        let parts = path_parts(path.strip_prefix('/').unwrap_or(path), url)?;
        Ok(Accepted {
            repository: Repository {
                url: path.to_owned(),
                origin: None,
                host: None,
                path: parts,
            },
            endpoint: None,
        })
    }

    fn accept_remote(&self, url: &str) -> Result<Accepted, SourceError> {
        if !url.bytes().all(|byte| byte.is_ascii_graphic()) || url.contains('\\') {
            return Err(bad(format!(
                "spaces, backslashes and letters beyond ASCII are not taken in the URL `{}`",
                shown(url)
            )));
        }
        if let Some((helper, _)) = url.split_once("::")
            && helper.bytes().all(|byte| byte.is_ascii_alphanumeric())
        {
            return Err(forbidden(format!(
                "`{helper}::` is a git transport helper, which is never allowed; give an https URL"
            )));
        }
        match url.split_once("://") {
            Some((scheme, rest)) => self.accept_scheme(url, scheme, rest),
            None => self.accept_scp(url),
        }
    }

    fn accept_scheme(&self, url: &str, scheme: &str, rest: &str) -> Result<Accepted, SourceError> {
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            "ssh" => Scheme::Ssh,
            _ => {
                return Err(forbidden(format!(
                    "the scheme of `{}` is not allowed; give an https URL",
                    shown(url)
                )));
            }
        };
        if rest.contains(['?', '#']) {
            return Err(bad(format!(
                "`{}` has a query or a fragment, which a repository URL has not",
                shown(url)
            )));
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, authority) = split_user(scheme, authority)?;
        let (host, port) = split_port(authority).map_err(bad)?;
        let endpoint = self.endpoint(scheme, host, port)?;
        let parts = path_parts(path, url)?;
        let origin = endpoint.origin();
        let user = user.map_or(String::new(), |user| format!("{user}@"));
        let authority = endpoint.authority();
        let url = format!(
            "{}://{user}{authority}/{}",
            scheme.as_str(),
            path.trim_end_matches('/')
        );
        Ok(endpoint.accepted(url, origin, parts))
    }

    /// `user@host:path`, which is ssh.
    fn accept_scp(&self, url: &str) -> Result<Accepted, SourceError> {
        let not_a_url = || {
            bad(format!(
                "`{}` is not a git URL; write https://HOST/OWNER/REPOSITORY",
                shown(url)
            ))
        };
        let (authority, path) = url.split_once(':').ok_or_else(not_a_url)?;
        let (user, host) = split_user(Scheme::Ssh, authority)?;
        if user.is_none() || host.contains('/') {
            return Err(not_a_url());
        }
        let endpoint = self.endpoint(Scheme::Ssh, host, None)?;
        let parts = path_parts(path.strip_prefix('/').unwrap_or(path), url)?;
        let origin = endpoint.origin();
        let url = format!(
            "{}@{}:{}",
            user.unwrap_or_default(),
            endpoint.host,
            path.trim_end_matches('/')
        );
        Ok(endpoint.accepted(url, origin, parts))
    }

    fn endpoint(
        &self,
        scheme: Scheme,
        host: &str,
        port: Option<u16>,
    ) -> Result<Endpoint, SourceError> {
        let host = Host::parse(host).map_err(bad)?;
        let port = port.unwrap_or_else(|| scheme.default_port());
        let rule = self
            .rules
            .iter()
            .filter(|rule| rule.allows(scheme, &host, port))
            .max_by_key(|rule| rule.names_private())
            .ok_or_else(|| not_listed(scheme, &host, port))?;
        Ok(Endpoint {
            scheme,
            names_private: rule.names_private() || self.private_hosts.contains(&host),
            host,
            port,
        })
    }
}

impl Endpoint {
    /// Host, and the port where it is not the scheme's own.
    fn authority(&self) -> String {
        if self.port == self.scheme.default_port() {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Scheme, host and port.
    pub(crate) fn origin(&self) -> String {
        format!("{}://{}", self.scheme.as_str(), self.authority())
    }

    fn accepted(self, url: String, origin: String, path: Vec<String>) -> Accepted {
        Accepted {
            repository: Repository {
                url,
                origin: Some(origin),
                host: Some(self.authority()),
                path,
            },
            endpoint: Some(self),
        }
    }
}

/// Whether a repository URL names a path of this machine.
#[must_use]
pub fn is_local_path(url: &str) -> bool {
    local_path(url).is_some()
}

fn local_path(url: &str) -> Option<&str> {
    if url.starts_with('/') || url.starts_with('.') || url.starts_with('~') {
        return Some(url);
    }
    let scheme = url.get(..7)?;
    scheme
        .eq_ignore_ascii_case("file://")
        .then(|| url.get(7..).unwrap_or_default())
}

/// Splits off the user of an ssh URL; a user anywhere else may be a credential.
fn split_user(scheme: Scheme, authority: &str) -> Result<(Option<&str>, &str), SourceError> {
    let Some((user, host)) = authority.rsplit_once('@') else {
        return Ok((None, authority));
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if scheme != Scheme::Ssh || user.is_empty() || !user.bytes().all(plain) || user.starts_with('-')
    {
        return Err(bad(
            "the URL holds a user name or a credential before `@`; leave it out and \
             configure a token of the forge instead",
        ));
    }
    Ok((Some(user), host))
}

/// The path's parts, without `.git`.
fn path_parts(path: &str, url: &str) -> Result<Vec<String>, SourceError> {
    let path = path.trim_end_matches('/');
    let refuse = |why: &str| bad(format!("{why} in the path of `{}`", shown(url)));
    if hides_characters(path) {
        return Err(refuse(
            "an encoded slash, dot, percent or control character",
        ));
    }
    let mut parts: Vec<String> = path.split('/').map(str::to_owned).collect();
    if let Some(last) = parts.last_mut() {
        *last = last.strip_suffix(".git").unwrap_or(last).to_owned();
    }
    if parts.iter().any(|part| part == "." || part == "..") {
        return Err(refuse("`.` or `..`"));
    }
    if parts.iter().any(String::is_empty) {
        return Err(refuse("nothing where the repository's name should be"));
    }
    Ok(parts)
}

fn hides_characters(path: &str) -> bool {
    path.split('%').skip(1).any(|rest| {
        let byte = rest
            .get(..2)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        byte.is_none_or(|b| b.is_ascii_control() || matches!(b, b'/' | b'\\' | b'.' | b'%' | b'@'))
    })
}

fn not_listed(scheme: Scheme, host: &Host, port: u16) -> SourceError {
    let entry = match scheme {
        Scheme::Https if port == 443 => host.to_string(),
        Scheme::Https | Scheme::Http => format!("{host}:{port}"),
        Scheme::Ssh if port == 22 => format!("ssh://{host}"),
        Scheme::Ssh => format!("ssh://{host}:{port}"),
    };
    let what = match scheme {
        Scheme::Https => format!("the host `{host}` (port {port})"),
        Scheme::Http => format!("http to the host `{host}` (port {port})"),
        Scheme::Ssh => format!("ssh to the host `{host}` (port {port})"),
    };
    forbidden(format!(
        "{what} is not allowed; add \"{entry}\" to `[repositories] hosts` to allow it"
    ))
}

/// A refused URL, without anything that may be a credential and with nothing that moves a cursor.
fn shown(url: &str) -> String {
    let rest = match url.rfind('@') {
        Some(at) => format!("…{}", url.get(at..).unwrap_or_default()),
        None => url.to_owned(),
    };
    rest.chars()
        .take(SHOWN_CHARS)
        .flat_map(char::escape_debug)
        .collect()
}

fn bad(message: impl Into<String>) -> SourceError {
    SourceError::new(FailureKind::BadRequest, message)
}

fn forbidden(message: impl Into<String>) -> SourceError {
    SourceError::new(FailureKind::Repository, message)
}
