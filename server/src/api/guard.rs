//! Closed by default: a web page must not be able to reach a server on the reader's machine.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header, uri::Authority};
use axum::middleware::Next;
use axum::response::Response;
use pullwright_protocol::FailureKind;
use url::{Host, Url};

use super::{ApiProblem, ApiState};

/// Refuses a request by a foreign host name (DNS rebinding) or from another site's page.
pub(super) async fn check_origin(
    State(state): State<ApiState>,
    request: Request,
    next: Next,
) -> Result<Response, ApiProblem> {
    let headers = request.headers();
    let host = called_as(headers)?;
    if !is_own(host.host(), state.listen.ip(), &state.config.allowed_hosts) {
        return Err(forbidden(format!(
            "the Host header says `{host}`, which is not a name of this server; \
             use its address or add the name to `[server] allowed_hosts`"
        )));
    }
    check_site(headers, &host, &state.config.allowed_origins)?;
    Ok(next.run(request).await)
}

fn called_as(headers: &HeaderMap) -> Result<Authority, ApiProblem> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let bad = || ApiProblem::bad_request("exactly one valid Host header is needed");
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(bad());
    };
    Authority::try_from(host.as_bytes()).map_err(|_| bad())
}

/// An address cannot be rebound; of the names, only those are ours that we know.
fn is_own(host: &str, listen: IpAddr, allowed: &[String]) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(address) => address.is_loopback() || !listen.is_loopback(),
        Err(_) => {
            host.eq_ignore_ascii_case("localhost")
                || allowed.iter().any(|name| host.eq_ignore_ascii_case(name))
        }
    }
}

fn check_site(headers: &HeaderMap, host: &Authority, allowed: &[String]) -> Result<(), ApiProblem> {
    for origin in headers.get_all(header::ORIGIN) {
        let origin = String::from_utf8_lossy(origin.as_bytes());
        if !is_same(&origin, host) && !allowed.iter().any(|allowed| *allowed == origin) {
            return Err(forbidden(format!(
                "the request comes from a page of `{origin}`, which is not this server; \
                 `[server] allowed_origins` names the pages of others that may call"
            )));
        }
    }
    Ok(())
}

fn is_same(origin: &str, host: &Authority) -> bool {
    let Ok(page) = Url::parse(origin) else {
        return false;
    };
    let Ok(called) = Url::parse(&format!("{}://{host}", page.scheme())) else {
        return false;
    };
    let named = |url: &Url| url.host().map(|host: Host<&str>| host.to_string());
    matches!(page.scheme(), "http" | "https")
        && named(&page) == named(&called)
        && page.port_or_known_default() == called.port_or_known_default()
}

fn forbidden(message: String) -> ApiProblem {
    ApiProblem::new(StatusCode::FORBIDDEN, FailureKind::BadRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_known_names_are_own() {
        let local = IpAddr::from([127, 0, 0, 1]);
        let any = IpAddr::from([0, 0, 0, 0]);
        let allowed = ["pullwright.example".to_owned()];
        for own in ["127.0.0.1", "[::1]", "LOCALHOST", "pullwright.example"] {
            assert!(is_own(own, local, &allowed), "{own}");
        }
        for foreign in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
        ] {
            assert!(!is_own(foreign, any, &allowed), "{foreign}");
        }
        assert!(is_own("10.1.2.3", any, &[]));
        assert!(!is_own("10.1.2.3", local, &[]));
    }

    #[test]
    fn an_origin_is_compared_with_its_port() {
        let host = Authority::from_static("127.0.0.1:8080");
        assert!(is_same("http://127.0.0.1:8080", &host));
        for other in [
            "http://127.0.0.1:8081",
            "http://127.0.0.1",
            "http://localhost:8080",
            "null",
        ] {
            assert!(!is_same(other, &host), "{other}");
        }
    }
}
