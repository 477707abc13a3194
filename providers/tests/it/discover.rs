//! Limits of a model, asked from its service.

use std::time::Duration;

use pullwright_providers::{
    DISCOVERY_TIMEOUT, DiscoverError, HttpClient, ModelLimits, ProviderSettings, discover,
};
use serde_json::{Value, json};
use url::Url;

use crate::client::bounded;
use crate::http_server::{Answer, Ending, Request, Server};

fn row(wire: &str, url: Url, env_key: Option<&str>) -> ProviderSettings {
    ProviderSettings {
        name: "mine".into(),
        wire_api: wire.into(),
        base_url: Some(url),
        env_key: env_key.map(str::to_owned),
        model: Some("m-1".into()),
        ..ProviderSettings::default()
    }
}

async fn ask(settings: &ProviderSettings) -> Result<ModelLimits, DiscoverError> {
    ask_within(settings, DISCOVERY_TIMEOUT).await
}

async fn ask_within(
    settings: &ProviderSettings,
    within: Duration,
) -> Result<ModelLimits, DiscoverError> {
    let http = HttpClient::new().unwrap();
    let environment = |name: &str| (name == "MY_KEY").then(|| "very-secret".to_owned());
    bounded(discover(settings, environment, &http, within)).await
}

fn answer(body: &Value) -> Answer {
    Answer::error(200, body)
}

async fn told(wire: &str, env_key: Option<&str>, body: &Value) -> (ModelLimits, Request) {
    let server = Server::start(vec![answer(body)]).await;
    let limits = ask(&row(wire, server.url.clone(), env_key)).await.unwrap();
    (limits, server.requests().remove(0))
}

async fn failure(answer: Answer) -> String {
    let server = Server::start(vec![answer]).await;
    let error = ask(&row("gemini", server.url.clone(), Some("MY_KEY")))
        .await
        .unwrap_err();
    let message = error.to_string();
    assert!(
        !format!("{error:?}{message}").contains("very-secret"),
        "{error:?}"
    );
    message
}

fn limits(context: Option<u64>, output: Option<u64>) -> ModelLimits {
    ModelLimits {
        context_tokens: context,
        max_output_tokens: output,
    }
}

#[tokio::test]
async fn anthropic_is_asked_about_the_model() {
    let body = json!({ "id": "m-1", "type": "model", "max_input_tokens": 1_000_000, "max_tokens": 128_000, "capabilities": {} });
    let (told, request) = told("anthropic_messages", Some("MY_KEY"), &body).await;
    assert_eq!(told, limits(Some(1_000_000), Some(128_000)));
    assert_eq!(request.uri, "/base/v1/models/m-1");
    assert_eq!(request.headers["authorization"], "Bearer very-secret");
    assert_eq!(request.headers["anthropic-version"], "2026-10-21");
}

#[tokio::test]
async fn gemini_is_asked_about_the_model() {
    let body =
        json!({ "name": "models/m-1", "inputTokenLimit": 1_048_576, "outputTokenLimit": 65_536 });
    let (told, request) = told("gemini", Some("MY_KEY"), &body).await;
    assert_eq!(told, limits(Some(1_048_576), Some(65_536)));
    assert_eq!(request.uri, "/base/models/m-1");
    assert_eq!(request.headers["x-goog-api-key"], "very-secret");
}

#[tokio::test]
async fn ollama_is_asked_about_the_model() {
    let about = json!({ "general.architecture": "qwen3", "qwen3.block_count": 36, "qwen3.context_length": 262_144 });
    let (told, request) = told("ollama", None, &json!({ "model_info": about })).await;
    assert_eq!(told, limits(Some(262_144), None));
    assert_eq!(request.uri, "/base/api/show");
    assert_eq!(request.headers.get("authorization"), None);
    assert_eq!(
        serde_json::from_slice::<Value>(&request.body).unwrap(),
        json!({ "model": "m-1" })
    );
}

#[tokio::test]
async fn compatible_services_say_it_in_many_words() {
    let cases = [
        (json!({}), limits(None, None)),
        (json!({ "max_model_len": 5 }), limits(Some(5), None)),
        (json!({ "context_length": 5 }), limits(Some(5), None)),
        (
            json!({ "context_length": 9, "top_provider": { "context_length": 5, "max_completion_tokens": 2 } }),
            limits(Some(5), Some(2)),
        ),
        (
            json!({ "context_length": 9, "top_provider": { "context_length": null, "max_completion_tokens": null } }),
            limits(Some(9), None),
        ),
        (
            json!({ "context_window": 5, "max_completion_tokens": 2 }),
            limits(Some(5), Some(2)),
        ),
        (
            json!({ "max_context_length": 9, "loaded_context_length": 5 }),
            limits(Some(5), None),
        ),
        (
            json!({ "meta": { "n_ctx_train": 5 } }),
            limits(Some(5), None),
        ),
        (
            json!({ "meta": { "n_ctx_train": 9, "n_ctx": 5 } }),
            limits(Some(5), None),
        ),
    ];
    for (mut listed, expected) in cases {
        listed["id"] = json!("m-1");
        let list = json!({ "object": "list", "data": [{ "id": "m-10", "max_model_len": "7k", "meta": [] }, listed] });
        for wire in ["openai_chat", "openai_responses"] {
            let (told, request) = told(wire, Some("MY_KEY"), &list).await;
            assert_eq!(told, expected, "{listed}");
            assert_eq!(request.uri, "/base/models");
            assert_eq!(request.headers["authorization"], "Bearer very-secret");
        }
    }
}

#[tokio::test]
async fn a_model_that_is_not_listed_is_named() {
    let server = Server::start(vec![answer(&json!({ "data": [] }))]).await;
    let error = ask(&row("openai_chat", server.url.clone(), None))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "mine: the API's answer about the model does not list `m-1`"
    );
}

#[tokio::test]
async fn what_goes_wrong_is_said() {
    let refused = failure(Answer::error(404, &json!({ "error": { "message": "no" } }))).await;
    assert_eq!(
        refused,
        "mine: the API answered 404 when asked about the model"
    );
    let senseless = failure(answer(&json!("no model"))).await;
    let expected = "mine: the API's answer about the model makes no sense: ";
    assert!(senseless.starts_with(expected), "{senseless}");
    let endless = Answer {
        pieces: vec![vec![b' '; 1024 * 1024]; 64],
        ..answer(&json!({}))
    };
    let expected = "mine: the API's answer about the model is longer than 8388608 bytes";
    assert_eq!(failure(endless).await, expected);
    let cut = Answer {
        ending: Ending::Cut,
        ..answer(&json!({}))
    };
    let cut = failure(cut).await;
    assert!(cut.starts_with("mine: the connection to "), "{cut}");
    let mut redirect = Answer::error(302, &json!({}));
    redirect
        .headers
        .push(("location", "https://elsewhere.example/".into()));
    let expected = "mine: the API answered 302 when asked about the model";
    assert_eq!(failure(redirect).await, expected);
}

#[tokio::test]
async fn a_service_that_does_not_answer_or_does_not_end_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let hang = Answer {
        ending: Ending::Hang,
        ..answer(&json!({}))
    };
    let server = Server::start(vec![hang]).await;
    for url in [silent, server.url.clone()] {
        let settings = row("gemini", url, Some("MY_KEY"));
        let error = ask_within(&settings, Duration::from_millis(50))
            .await
            .unwrap_err();
        let expected = "mine: the API did not say within 50ms what its models are";
        assert_eq!(error.to_string(), expected);
    }
    bounded(server.client_gone()).await;
}

#[tokio::test]
async fn a_models_name_cannot_climb_out_of_its_path() {
    for (model, path) in [
        ("../../x?y#z", "/base/x%3Fy%23z"),
        ("tunedModels/t-1", "/base/tunedModels/t-1"),
    ] {
        let server = Server::start(vec![answer(&json!({}))]).await;
        let settings = ProviderSettings {
            model: Some(model.into()),
            ..row("gemini", server.url.clone(), Some("MY_KEY"))
        };
        ask(&settings).await.unwrap();
        assert_eq!(server.requests().remove(0).uri, path);
    }
}

#[tokio::test]
async fn rows_that_cannot_be_asked_are_told_before_anything_is_sent() {
    let url = |url: &str| Url::parse(url).unwrap();
    let clear = row("gemini", url("http://example.com"), Some("MY_KEY"));
    let missing = row("gemini", url("https://example.com"), Some("NOT_SET"));
    let scripted = row("scripted", url("https://example.com"), None);
    let nowhere = ProviderSettings {
        base_url: None,
        ..row("openai_chat", url("https://example.com"), None)
    };
    for (settings, said) in [
        (clear, "would send the key in the clear"),
        (missing, "the environment variable NOT_SET is not set"),
        (
            scripted,
            "models of wire_api `scripted` cannot be asked for",
        ),
        (nowhere, "`base_url` is missing"),
    ] {
        let error = ask(&settings).await.unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn what_the_row_says_wins_and_ollama_gets_no_more_than_its_default() {
    let url = Url::parse("https://example.com").unwrap();
    let told = limits(Some(262_144), Some(9000));
    let completed = |wire: &str, context: Option<u64>| {
        let mut settings = row(wire, url.clone(), None);
        settings.context_tokens = context;
        told.complete(&mut settings);
        (settings.context_tokens, settings.max_output_tokens)
    };
    assert_eq!(completed("gemini", None), (Some(262_144), Some(9000)));
    assert_eq!(completed("gemini", Some(5)), (Some(5), Some(9000)));
    assert_eq!(completed("ollama", None), (Some(32_768), Some(9000)));
    assert_eq!(
        completed("ollama", Some(100_000)),
        (Some(100_000), Some(9000))
    );
}
