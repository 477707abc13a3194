//! The HTTP stack under octocrab: no redirects, no hidden retries, bounded time and size.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue, USER_AGENT};
use http::{HeaderName, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use octocrab::service::middleware::auth_header::AuthHeaderLayer;
use octocrab::service::middleware::base_uri::BaseUriLayer;
use octocrab::{AuthState, OctoBody, Octocrab, OctocrabBuilder};
use rustls::crypto::ring;
use tower::{Layer, Service};
use url::{Host, Url};

use super::echo;
use super::fault::{Fault, classify};
use super::graphql;
use super::stack::Stack;
use crate::config::{GithubConfig, Secret};
use crate::error::GithubError;

/// The version of the REST API that the answers are read as.
const API_VERSION: HeaderValue = HeaderValue::from_static("2022-11-28");
const API_VERSION_HEADER: HeaderName = HeaderName::from_static("x-github-api-version");
const JSON: HeaderValue = HeaderValue::from_static("application/vnd.github+json");

/// A host that sends without end must not fill the memory. A page of 100 files of a pull request
/// with their patches is the largest honest answer.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// GitHub closes idle connections after about a minute; one that we close first is never raced.
const IDLE_CONNECTION: Duration = Duration::from_secs(30);

type Http = Client<HttpsConnector<HttpConnector>, OctoBody>;

/// octocrab on our own stack.
pub(crate) fn connect(config: &GithubConfig) -> Result<Octocrab, GithubError> {
    if tokio::runtime::Handle::try_current().is_err() {
        return Err(GithubError::NoRuntime);
    }
    let base = base_uri(&config.api_url)?;
    let authorization = config
        .token
        .as_ref()
        .map(|token| authorization(token, &config.token_env))
        .transpose()?;
    let exchange = Exchange {
        http: http_client(config.limits.connect_timeout)?,
        user_agent: HeaderValue::from_str(&config.user_agent)
            .unwrap_or(HeaderValue::from_static("pullwright")),
        timeout: config.limits.request_timeout,
    };
    let wire = tower::service_fn(move |request| {
        let exchange = exchange.clone();
        async move { exchange.run(request).await }
    });
    let layers = Stack {
        cache: Arc::clone(config.accounts.cache()),
        pause: config.limits.write_pause,
        patience: config.limits.longest_wait,
    };
    let stack = layers.layer(wire);
    let service = tower::service_fn(move |request| {
        let mut stack = stack.clone();
        async move {
            let answer = stack.call(request).await?;
            Ok::<_, Fault>(answer.map(Full::new))
        }
    });
    // The outermost layer adds the token, and only to requests that name no host of their own.
    let built = OctocrabBuilder::new_empty()
        .with_service(service)
        .with_layer(&BaseUriLayer::new(base.clone()))
        .with_layer(&AuthHeaderLayer::new(authorization, base.clone(), base))
        .with_auth(AuthState::None)
        .build();
    match built {
        Ok(octocrab) => Ok(octocrab),
        Err(never) => match never {},
    }
}

/// One request and its whole answer.
#[derive(Clone)]
struct Exchange {
    http: Http,
    user_agent: HeaderValue,
    timeout: Duration,
}

impl Exchange {
    async fn run(self, mut request: Request<OctoBody>) -> Result<Response<Bytes>, Fault> {
        let headers = request.headers_mut();
        headers.insert(API_VERSION_HEADER, API_VERSION);
        headers.insert(ACCEPT, JSON);
        headers.insert(USER_AGENT, self.user_agent.clone());
        if let Some(token) = headers.get_mut(AUTHORIZATION) {
            token.set_sensitive(true);
        }
        let sent = headers.get(AUTHORIZATION).cloned();
        let host = host_of(request.uri());
        if let Some(address) = graphql::address(request.uri()) {
            *request.uri_mut() = address;
        }
        let is_graphql = graphql::is_asked(request.uri());
        let what = format!("{} {}", request.method(), request.uri().path());
        let answer = tokio::time::timeout(self.timeout, self.answer(request, &host)).await;
        let response = answer.unwrap_or_else(|_| {
            Err(Fault::TimedOut {
                host: host.clone(),
                seconds: self.timeout.as_secs(),
            })
        })?;
        log(&what, &response);
        let is_success = response.status().is_success();
        if response.status() == StatusCode::NOT_MODIFIED || is_success && !is_graphql {
            return Ok(response);
        }
        let (mut parts, body) = response.into_parts();
        let body = echo::without(sent.as_ref(), &mut parts.headers, body);
        let refused = match is_success {
            true => graphql::refusal(parts.status, &parts.headers, &body),
            false => Some(classify(parts.status, &parts.headers, &body)),
        };
        match refused {
            Some(refused) => Err(Fault::Refused(refused)),
            None => Ok(Response::from_parts(parts, body)),
        }
    }

    async fn answer(
        &self,
        request: Request<OctoBody>,
        host: &str,
    ) -> Result<Response<Bytes>, Fault> {
        let response = self.http.request(request).await.map_err(|error| {
            let (host, reason) = (host.to_owned(), innermost(&error));
            if error.is_connect() {
                Fault::Unreachable { host, reason }
            } else {
                Fault::Broken { host, reason }
            }
        })?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| Fault::Broken {
            host: host.to_owned(),
            reason: innermost(error.as_ref()),
        })?;
        Ok(Response::from_parts(parts, body.to_bytes()))
    }
}

fn http_client(connect_timeout: Duration) -> Result<Http, GithubError> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(connect_timeout));
    tcp.set_nodelay(true);
    let provider = ring::default_provider();
    let tls = HttpsConnectorBuilder::new();
    // A minimal image has no certificates of its own; Mozilla's are built in.
    let tls = match tls.with_provider_and_native_roots(provider.clone()) {
        Ok(tls) => tls,
        Err(_) => HttpsConnectorBuilder::new().with_provider_and_webpki_roots(provider)?,
    };
    let connector = tls.https_or_http().enable_http1().wrap_connector(tcp);
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_CONNECTION)
        .build(connector))
}

/// The API's base, refused where it would leak the token.
fn base_uri(url: &Url) -> Result<Uri, GithubError> {
    let refused = |reason| {
        let mut shown = url.clone();
        // Fails only where there are no credentials to hide.
        let _ = shown
            .set_username("")
            .and_then(|()| shown.set_password(None));
        Err(GithubError::ApiUrl {
            url: shown.into(),
            reason,
        })
    };
    if !url.username().is_empty() || url.password().is_some() {
        return refused("holds credentials: put the token into its environment variable");
    }
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(url) => {}
        "http" => return refused("would send the token in clear: use https"),
        _ => return refused("is not an https URL"),
    }
    match url.as_str().trim_end_matches('/').parse() {
        Ok(uri) if url.query().is_none() && url.fragment().is_none() => Ok(uri),
        _ => refused("must be a host and a path only"),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn authorization(token: &Secret, env: &str) -> Result<HeaderValue, GithubError> {
    let refused = |reason| GithubError::Token {
        env: env.to_owned(),
        reason,
    };
    let token = token.expose();
    if token.is_empty() {
        return Err(refused("is empty"));
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(refused("holds white space or characters that no token has"));
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| refused("cannot be put into a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn host_of(uri: &Uri) -> String {
    uri.authority().map(ToString::to_string).unwrap_or_default()
}

/// The deepest cause: the outer ones only say that a request failed.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

fn log(what: &str, response: &Response<Bytes>) {
    let header = |name| {
        response
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    tracing::debug!(
        what,
        status = response.status().as_u16(),
        request_id = header("x-github-request-id"),
        remaining = header("x-ratelimit-remaining"),
        "GitHub answered"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(url: &str) -> Result<Uri, String> {
        base_uri(&Url::parse(url).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_base_keeps_its_path() {
        assert_eq!(
            base("https://ghe.example.com/api/v3/").unwrap().path(),
            "/api/v3"
        );
        assert!(base("http://127.0.0.1:4000").is_ok());
        assert!(base("http://[::1]:4000").is_ok());
    }

    #[test]
    fn a_base_that_would_leak_the_token_is_refused() {
        let clear = base("http://api.example.com").unwrap_err();
        assert!(clear.contains("in clear"), "{clear}");
        let inside = base("https://me:hunter2@api.example.com").unwrap_err();
        assert!(!inside.contains("hunter2"), "{inside}");
        assert!(base("ftp://api.example.com").is_err());
        assert!(base("https://api.example.com/?a=b").is_err());
    }

    #[test]
    fn a_token_with_odd_characters_is_refused_without_showing_it() {
        for odd in ["", "gh p", "ghp_é", "a\u{0}b"] {
            let error = authorization(&Secret::new(odd), "MY_TOKEN")
                .unwrap_err()
                .to_string();
            assert!(error.contains("MY_TOKEN"), "{error}");
            assert!(odd.is_empty() || !error.contains(odd), "{error}");
        }
        assert!(
            authorization(&Secret::new("ghp_abc\n"), "X")
                .unwrap()
                .is_sensitive()
        );
    }

    #[test]
    fn the_innermost_cause_is_shown() {
        let inner = std::io::Error::other("refused");
        let outer = std::io::Error::other(Arc::new(inner));
        assert_eq!(innermost(&outer), "refused");
    }
}
