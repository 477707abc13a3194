//! Deliveries are verified, read and kept before they are answered.

use std::time::Duration;

use pullwright::webhooks::{Phase, WebhookSettings};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::sender::{self, Delivery, signature};
use crate::api::server::{Server, Setup, send};

const REPOSITORY: &str = "https://github.com/owner/project.git";

async fn server(settings: WebhookSettings) -> Server {
    Server::start_with(Setup {
        webhooks: Some(settings),
        ..Setup::default()
    })
    .await
}

async fn answer(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let response = send(request).await;
    let status = response.status();
    let text = response.text().await.expect("a body");
    (status, serde_json::from_str(&text).expect("JSON"))
}

async fn kept(server: &Server) -> Vec<String> {
    let lease = Duration::from_secs(600);
    let taken = server.deliveries.take_due(Phase::Do, lease, 1000).await;
    let taken = taken.expect("take").into_iter();
    taken.map(|delivery| delivery.id).collect()
}

#[tokio::test]
async fn a_signed_delivery_is_kept_once_and_what_asks_for_nothing_is_not() {
    let server = server(sender::settings("")).await;
    let url = server.url("");
    let delivery = Delivery::labeled(REPOSITORY, 1, "ann");
    for status in ["accepted", "known", "known"] {
        let (code, said) = answer(delivery.request(&url)).await;
        assert_eq!(code, StatusCode::ACCEPTED, "{said}");
        assert_eq!(
            (&said["status"], &said["id"]),
            (&json!(status), &json!(delivery.id))
        );
    }
    let replayed = Delivery {
        id: "another-id".to_owned(),
        ..delivery.clone()
    };
    let (_, said) = answer(replayed.request(&url)).await;
    assert_eq!(
        said["status"], "known",
        "its id is not signed, so it may be chosen"
    );
    for nothing in [
        Delivery::new("ping", json!({ "zen": "Design for failure." })),
        Delivery::new("issues", json!({ "action": "opened" })),
        Delivery::new(
            "issues",
            json!({ "action": 5, "issue": [], "repository": null }),
        ),
        Delivery::new("check_run", json!([1, 2])),
        Delivery::new("never_heard_of", json!("text")),
    ] {
        let (code, said) = answer(nothing.request(&url)).await;
        assert_eq!(
            (code, &said["status"]),
            (StatusCode::ACCEPTED, &json!("ignored")),
            "{said}"
        );
        assert!(said["reason"].is_string(), "{said}");
    }
    assert_eq!(kept(&server).await, [format!("github:{}", delivery.id)]);
}

#[tokio::test]
async fn what_is_not_signed_by_a_secret_is_refused_and_not_kept() {
    let server = server(sender::settings("")).await;
    let url = server.url("");
    let delivery = Delivery::labeled(REPOSITORY, 1, "ann");
    let body = delivery.payload.to_string();
    let signed = |signature: String| {
        let request = delivery.request(&url).build().expect("a request");
        let mut request = request;
        let value = signature.parse().expect("a value");
        request.headers_mut().insert("X-Hub-Signature-256", value);
        reqwest::RequestBuilder::from_parts(server.client.clone(), request)
    };
    let good = signature(sender::SECRET, &body);
    let requests = [
        signed(signature("another secret", &body)),
        signed(signature(sender::SECRET, "another body")),
        signed(good.to_uppercase()),
        signed(good.replace("sha256=", "sha1=")),
        signed("sha256=".to_owned()),
        signed(String::new()),
        delivery.request(&url).body("another body"),
        server.post("/webhooks/github", &delivery.payload),
    ];
    for request in requests {
        let (code, said) = answer(request).await;
        assert_eq!(code, StatusCode::UNAUTHORIZED, "{said}");
        let told = said["detail"].as_str().expect("a detail");
        assert!(told.contains("X-Hub-Signature-256"), "{told}");
    }
    assert_eq!(kept(&server).await, [""; 0]);
    server.access.flush().await;
    let record = server.keys.recorded(None, 100).await.expect("the record");
    assert!(!record.is_empty(), "refusals are recorded");
    let (code, _) = answer(signed(good)).await;
    assert_eq!(code, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_secret_is_replaced_while_the_old_one_still_counts() {
    let config = |names: &str| {
        format!(
            "[agent]\nprovider = \"one\"\n[providers.one]\nwire_api = \"scripted\"\nscript = \"s.toml\"\n\
             [webhooks.github]\nsecret_env = [{names}]\n"
        )
    };
    let read = |names: &str| {
        let path = std::path::Path::new("plugins.toml");
        let config = pullwright_core::config::Config::parse(&config(names), path).expect("good");
        let variable = |name: &str| match name {
            "NEW" => Some("the new secret\n".to_owned()),
            "OLD" => Some(sender::SECRET.to_owned()),
            _ => None,
        };
        WebhookSettings::read(
            &config.webhooks.github.expect("webhooks"),
            &config.server,
            variable,
        )
    };
    let server = server(read("\"NEW\", \"OLD\", \"UNSET\"").expect("settings")).await;
    let delivery = Delivery::labeled(REPOSITORY, 1, "ann");
    let body = delivery.payload.to_string();
    let old = delivery.request(&server.url(""));
    let new = server
        .post("/webhooks/github", &delivery.payload)
        .header("X-GitHub-Event", delivery.event)
        .header("X-GitHub-Delivery", &delivery.id)
        .header("X-Hub-Signature-256", signature("the new secret", &body));
    assert_eq!(answer(old).await.1["status"], "accepted");
    assert_eq!(answer(new).await.1["status"], "known");
    let refused = read("\"UNSET\"").expect_err("no secret").to_string();
    assert!(
        refused.contains("UNSET") && refused.contains("secret_env"),
        "{refused}"
    );
}

#[tokio::test]
async fn without_a_configuration_it_is_said_what_to_write() {
    let server = Server::start().await;
    let delivery = Delivery::labeled(REPOSITORY, 1, "ann");
    let (code, said) = answer(delivery.request(&server.url(""))).await;
    assert_eq!(code, StatusCode::NOT_FOUND);
    let told = said["detail"].as_str().expect("a detail");
    assert!(
        told.contains("[webhooks.github]") && told.contains("secret_env"),
        "{told}"
    );
}

#[tokio::test]
async fn what_is_no_delivery_is_refused() {
    let server = server(sender::settings("")).await;
    let url = server.url("");
    let delivery = Delivery::labeled(REPOSITORY, 1, "ann");
    let large = "x".repeat(26 * 1024 * 1024);
    let nameless = Delivery {
        id: String::new(),
        ..delivery.clone()
    };
    let odd = Delivery {
        id: "a b/c".to_owned(),
        ..delivery.clone()
    };
    let garbled = server
        .post("/webhooks/github", &Value::Null)
        .body("{")
        .header("X-GitHub-Event", "issues")
        .header("X-GitHub-Delivery", "1")
        .header("X-Hub-Signature-256", signature(sender::SECRET, "{"));
    for (request, expected) in [
        (delivery.request(&url).body(large), 413),
        (
            delivery.request_as(&url, "application/x-www-form-urlencoded"),
            415,
        ),
        (nameless.request(&url), 400),
        (odd.request(&url), 400),
        (garbled, 400),
    ] {
        let (code, said) = answer(request).await;
        assert_eq!(code.as_u16(), expected, "{said}");
    }
    assert_eq!(kept(&server).await, [""; 0]);
}
