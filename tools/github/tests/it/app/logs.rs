//! Neither key, proof nor token is ever shown.

use std::io::Write;
use std::sync::{Arc, Mutex};

use pullwright_tool_kit::protocol::forge::ForgeCredential;
use tracing_subscriber::fmt::MakeWriter;

use super::double::{Double, State};
use super::tokens::preflight;
use super::{as_app, keys};
use crate::client::{Client, repository};

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn no_secret_is_in_a_log_or_in_what_is_printed_of_a_configuration() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .finish();
    // Where there is but one, other tests that come to a line first decide alone whether it is logged.
    let _another = tracing::Dispatch::new(tracing_subscriber::registry());
    let guard = tracing::subscriber::set_default(subscriber);
    let double = Double::start(State {
        failures: [(502, "Server Error")].into(),
        ..State::default()
    })
    .await;
    let config = as_app(&double.url, &keys::ours());
    let printed = format!("{config:?}");
    let client = Client::start(config).await;
    preflight(&client).await.unwrap();
    double.state().revoke();
    // This answer holds the token on purpose, and the client of this test logs what it hears.
    let written = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let _: ForgeCredential = client.pipeline("credential", &repository()).await.unwrap();
    drop(guard);
    assert!(written.contains("a token was granted"), "{written}");
    let lines = keys::ours();
    let line = lines.lines().nth(3).unwrap();
    for secret in ["ghs_canary", "Bearer ey", line] {
        assert!(!written.contains(secret), "{written}");
        assert!(!printed.contains(secret), "{printed}");
    }
}
