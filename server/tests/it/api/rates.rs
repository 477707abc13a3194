//! How often anybody may call.

use std::num::NonZeroU32;

use pullwright::access::Scope;
use pullwright_core::config::AccessConfig;
use reqwest::RequestBuilder;
use serde_json::Value;

use super::secret_holder::{Holder, key};
use super::server::{Server, Setup, send};
use crate::support::in_time;

/// So few a minute that none comes back during a test.
async fn slow_server() -> Server {
    let number = |number| NonZeroU32::new(number).expect("a number");
    let access = AccessConfig {
        requests_per_minute: number(1),
        request_burst: number(3),
        failed_auth_per_minute: number(2),
        trusted_proxies: vec![
            "127.0.0.1"
                .parse::<std::net::IpAddr>()
                .expect("an address")
                .into(),
        ],
        ..AccessConfig::default()
    };
    Server::start_with(Setup {
        access,
        ..Setup::default()
    })
    .await
}

async fn statuses(count: usize, request: impl Fn() -> RequestBuilder) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..count {
        statuses.push(send(request()).await.status().as_u16());
    }
    statuses
}

#[tokio::test]
async fn each_key_has_its_own_rate() {
    let server = slow_server().await;
    let ann = key(&*server.keys, "ann", &[Scope::Read]).await;
    let bob = key(&*server.keys, "bob", &[Scope::Read]).await;
    let list = |who: &Holder| who.sends(server.get("/v1/runs"));
    assert_eq!(statuses(4, || list(&ann)).await, [200, 200, 200, 429]);
    assert_eq!(statuses(4, || list(&bob)).await, [200, 200, 200, 429]);
    let refused = send(list(&ann)).await;
    let wait: u64 = refused.headers()["retry-after"]
        .to_str()
        .expect("text")
        .parse()
        .expect("seconds");
    assert!((1..=60).contains(&wait), "{wait}");
    let text = in_time(refused.text()).await.expect("a body");
    let problem: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(problem["kind"], "rate_limited");
    let told = problem["message"].as_str().expect("a message");
    assert!(
        told.contains("from the API key `ann`; try again in"),
        "{told}"
    );
    assert_eq!(statuses(9, || server.get("/healthz")).await, [200; 9]);
}

#[tokio::test]
async fn each_address_behind_a_trusted_proxy_has_its_own_rate() {
    let server = slow_server().await;
    let from = |address: &'static str| {
        let request = server.get("/v1/runs");
        request.header("X-Forwarded-For", address)
    };
    assert_eq!(
        statuses(4, || from("192.0.2.1")).await,
        [200, 200, 200, 429]
    );
    assert_eq!(
        statuses(1, || from("6.6.6.6, 192.0.2.1")).await,
        [429],
        "forged"
    );
    assert_eq!(
        statuses(4, || from("192.0.2.2")).await,
        [200, 200, 200, 429]
    );
    assert_eq!(
        statuses(9, || server.get("/v1/runs")).await,
        [200; 9],
        "this machine"
    );
}

#[tokio::test]
async fn wrong_keys_are_limited_harder_and_lock_nobody_out() {
    let server = slow_server().await;
    let ann = key(&*server.keys, "ann", &[Scope::Read]).await;
    let wrong = || server.get("/v1/runs").bearer_auth("pw_wrong");
    assert_eq!(statuses(4, wrong).await, [401, 401, 429, 429]);
    let good = ann.sends(server.get("/v1/runs"));
    assert_eq!(send(good).await.status(), 200);
}
