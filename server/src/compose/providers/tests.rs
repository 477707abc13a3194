use std::collections::VecDeque;

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::*;

/// A service that is asked for its models.
#[derive(Default)]
struct Service {
    /// Whether each question is answered; later ones are not.
    answers: Mutex<VecDeque<bool>>,
    /// What is said instead of an answer; that it is busy if nothing.
    refusal: Option<StatusCode>,
    asked: Notify,
    /// Answers wait for it, if there is one.
    gate: Option<Notify>,
    questions: Mutex<usize>,
}

impl Service {
    fn answering(answers: &[bool]) -> Arc<Self> {
        Arc::new(Self {
            answers: Mutex::new(answers.iter().copied().collect()),
            ..Self::default()
        })
    }

    fn questions(&self) -> usize {
        *self.questions.lock().unwrap()
    }

    async fn answer(self: Arc<Self>) -> axum::response::Response {
        *self.questions.lock().unwrap() += 1;
        self.asked.notify_one();
        if let Some(gate) = &self.gate {
            gate.notified().await;
        }
        let answers = self.answers.lock().unwrap().pop_front();
        match answers.unwrap_or_default() {
            true => {
                Json(json!({ "data": [{ "id": "m", "context_length": 5000 }] })).into_response()
            }
            false => self
                .refusal
                .unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
                .into_response(),
        }
    }

    async fn start(self: &Arc<Self>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = Arc::clone(self);
        let app = axum::Router::new().fallback(move || Arc::clone(&service).answer());
        tokio::spawn(async move { axum::serve(listener, app).await });
        format!("http://{address}")
    }
}

/// Rows by their names, each with the address of its service.
fn rows(services: &[(&str, &str)]) -> ProviderRows {
    let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
    let row = |(name, url): &(&str, &str)| {
        format!(
            "[providers.{name}]\nwire_api = \"openai_chat\"\nbase_url = \"{url}\"\nmodel = \"m\"\n"
        )
    };
    let rows: String = services.iter().map(row).collect();
    let first = services[0].0;
    std::fs::write(
        file.path(),
        format!("[agent]\nprovider = \"{first}\"\n{rows}"),
    )
    .unwrap();
    ProviderRows::new(Arc::new(Config::load(file.path()).unwrap()))
}

async fn context_of(rows: &ProviderRows, row: &str) -> Option<u64> {
    let opened = tokio::time::timeout(Duration::from_secs(60), rows.open(row, None)).await;
    let provider = opened.expect("it hangs").unwrap();
    provider.info().context_tokens
}

#[tokio::test]
async fn a_row_that_is_being_opened_keeps_no_other_waiting() {
    let slow = Arc::new(Service {
        gate: Some(Notify::new()),
        ..Service::default()
    });
    let quick = Service::answering(&[true]);
    let rows = Arc::new(rows(&[
        ("slow", &slow.start().await),
        ("quick", &quick.start().await),
    ]));
    let opening = {
        let rows = Arc::clone(&rows);
        tokio::spawn(async move { context_of(&rows, "slow").await })
    };
    slow.asked.notified().await;
    assert_eq!(context_of(&rows, "quick").await, Some(5000));
    assert!(!opening.is_finished(), "it waited for the slow one");
    opening.abort();
}

#[tokio::test]
async fn a_row_that_several_open_at_once_is_opened_once() {
    let service = Service::answering(&[true, true]);
    let rows = rows(&[("one", &service.start().await)]);
    let both = tokio::join!(context_of(&rows, "one"), context_of(&rows, "one"));
    assert_eq!(both, (Some(5000), Some(5000)));
    assert_eq!(service.questions(), 1);
}

#[tokio::test]
async fn a_service_that_did_not_say_is_asked_again_later() {
    let service = Service::answering(&[false, false, true, true]);
    let url = service.start().await;
    let patient = rows(&[("one", &url)]);
    for _ in 0..3 {
        assert_eq!(context_of(&patient, "one").await, None);
    }
    assert_eq!(service.questions(), 1, "it is left alone for a while");
    let rows = ProviderRows {
        ask_again_after: Duration::ZERO,
        ..patient
    };
    rows.open.lock().unwrap().clear();
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(context_of(&rows, "one").await);
    }
    assert_eq!(seen, [None, Some(5000), Some(5000), Some(5000)]);
    assert_eq!(service.questions(), 3, "what is known is not asked for");
}

#[tokio::test]
async fn a_service_that_has_no_list_of_models_is_asked_once() {
    let service = Arc::new(Service {
        refusal: Some(StatusCode::NOT_FOUND),
        ..Service::default()
    });
    let rows = ProviderRows {
        ask_again_after: Duration::ZERO,
        ..rows(&[("one", &service.start().await)])
    };
    for _ in 0..3 {
        assert_eq!(context_of(&rows, "one").await, None);
    }
    assert_eq!(service.questions(), 1);
}
