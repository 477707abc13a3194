//! What browsers are told: which pages may call, and what they may do with an answer.

use pullwright::access::Scope;
use pullwright_core::config::AccessConfig;
use reqwest::Method;

use super::secret_holder::key;
use super::server::{Server, Setup, run_id, send};

const PAGE: &str = "https://app.example.com";

#[tokio::test]
async fn no_page_of_another_site_may_call_unless_it_is_named() {
    let server = Server::start().await;
    let from_a_page = server.get("/healthz").header("Origin", PAGE);
    assert_eq!(send(from_a_page).await.status(), 403);
    let options = server.client.request(Method::OPTIONS, server.url("/code"));
    let response = send(options).await;
    assert_eq!(response.status(), 405);
    let allowed = response.headers().get("access-control-allow-methods");
    assert_eq!(allowed, None);
}

#[tokio::test]
async fn a_named_page_may_call_and_no_other() {
    let access = AccessConfig {
        allowed_origins: vec![PAGE.to_owned()],
        ..AccessConfig::default()
    };
    let server = Server::start_with(Setup {
        access,
        ..Setup::default()
    })
    .await;
    let ann = key(&*server.keys, "ann", &[Scope::Run, Scope::Read]).await;
    let preflight = |origin: &str| {
        let options = server.client.request(Method::OPTIONS, server.url("/code"));
        options
            .header("Origin", origin)
            .header("Access-Control-Request-Method", "POST")
            .header(
                "Access-Control-Request-Headers",
                "authorization,content-type",
            )
    };
    let response = send(preflight(PAGE)).await;
    assert_eq!(response.status(), 200, "a preflight has no key");
    let headers = response.headers();
    assert_eq!(headers["access-control-allow-origin"], PAGE);
    let allowed = headers["access-control-allow-headers"]
        .to_str()
        .expect("text");
    assert!(allowed.contains("authorization"), "{allowed}");
    assert!(!headers.contains_key("access-control-allow-credentials"));
    let response = send(ann.sends(server.code("hello")).header("Origin", PAGE)).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["access-control-allow-origin"], PAGE);
    let readable = response.headers()["access-control-expose-headers"].to_str();
    let readable = readable.expect("text");
    for name in ["x-run-id", "location", "link", "retry-after"] {
        assert!(readable.contains(name), "{name}: {readable}");
    }
    let response = send(server.code("hello").header("Origin", PAGE)).await;
    assert_eq!(response.status(), 401);
    let readable = &response.headers()["access-control-allow-origin"];
    assert_eq!(readable, PAGE, "the page is told why");
    for other in [
        "https://app.example.com.evil.example",
        "http://app.example.com",
        "null",
    ] {
        let response = send(preflight(other)).await;
        assert_eq!(response.status(), 403, "{other}");
        assert!(
            !response
                .headers()
                .contains_key("access-control-allow-origin")
        );
        let request = ann.sends(server.code("hello")).header("Origin", other);
        assert_eq!(send(request).await.status(), 403, "{other}");
    }
}

#[tokio::test]
async fn every_answer_is_hardened() {
    let server = Server::start().await;
    let run = run_id(&send(server.code("hello")).await);
    server.until_ended(&run).await;
    let patch = format!("/v1/runs/{run}/patch");
    let stream = format!("/v1/runs/{run}/stream");
    let table = [
        ("/healthz", "no-store"),
        ("/v1/runs", "no-store"),
        (patch.as_str(), "no-store"),
        (stream.as_str(), "no-cache"),
        ("/v1/nothing", "no-store"),
        ("/code", "no-store"),
    ];
    for (path, cached) in table {
        let response = send(server.get(path)).await;
        let headers = response.headers();
        let expected = [
            ("x-content-type-options", "nosniff"),
            (
                "content-security-policy",
                "default-src 'none'; frame-ancestors 'none'",
            ),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", cached),
        ];
        for (name, value) in expected {
            assert_eq!(headers[name], value, "{path}: {name}");
        }
    }
    let foreign = server.get("/healthz").header("Host", "evil.example");
    let response = send(foreign).await;
    assert_eq!(response.status(), 403);
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
}
