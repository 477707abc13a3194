//! Provider plugins behind an address and in a library, and ones that die.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{SinkExt, StreamExt};
use pullwright_providers::{Script, ScriptedProvider, rpc_module, serve_lines};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

use super::lab::{GREET, Lab, Plan};

/// A variable that is there: its value is the token.
const TOKEN_VARIABLE: &str = "PATH";

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");

/// The scripted provider behind a WebSocket.
struct WebSocketProvider {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl WebSocketProvider {
    /// Ends each connection after so many messages of its own, if that is given.
    async fn start(script: &str, ends_after: Option<usize>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let script = Script::from_toml(script).unwrap();
        let provider = Arc::new(ScriptedProvider::new("script", "script", script));
        let counted = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, Arc::clone(&provider), ends_after));
            }
        });
        Self {
            address,
            connections,
        }
    }

    fn row(&self) -> String {
        format!(
            "[providers.script]\nurl = \"ws://{}/\"\nbearer_token_env_var = \"{TOKEN_VARIABLE}\"\n",
            self.address
        )
    }
}

#[expect(
    clippy::result_large_err,
    reason = "the handshake's callback has this type"
)]
fn admit(request: &Request, response: Response) -> Result<Response, ErrorResponse> {
    let expected = format!("Bearer {}", std::env::var(TOKEN_VARIABLE).unwrap());
    let sent = request.headers().get("authorization");
    if sent.is_some_and(|sent| sent.as_bytes() == expected.as_bytes()) {
        return Ok(response);
    }
    let mut refused = ErrorResponse::new(None);
    *refused.status_mut() = tokio_tungstenite::tungstenite::http::StatusCode::UNAUTHORIZED;
    Err(refused)
}

async fn serve(stream: TcpStream, provider: Arc<ScriptedProvider>, ends_after: Option<usize>) {
    let Ok(socket) = tokio_tungstenite::accept_hdr_async(stream, admit).await else {
        return;
    };
    let (mut sink, mut messages) = socket.split();
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let (from_provider, mut to_provider) = tokio::io::split(ours);
    let (read, write) = tokio::io::split(theirs);
    tokio::spawn(serve_lines(rpc_module(provider), read, write));
    let taking = async {
        while let Some(Ok(message)) = messages.next().await {
            if let Message::Text(text) = message {
                to_provider
                    .write_all(format!("{text}\n").as_bytes())
                    .await
                    .unwrap();
            }
        }
    };
    let giving = async {
        let mut lines = BufReader::new(from_provider).lines();
        let mut said = 0;
        while let Ok(Some(line)) = lines.next_line().await {
            if sink.send(Message::Text(line.into())).await.is_err() {
                return;
            }
            said += 1;
            if ends_after == Some(said) {
                return;
            }
        }
    };
    tokio::select! {
        () = taking => {}
        () = giving => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_behind_an_address_works_over_one_connection() {
    let provider = WebSocketProvider::start(GREET, None).await;
    let lab = Lab::start(Plan {
        config: &provider.row(),
        ..Plan::default()
    })
    .await;
    lab.run().await.ended("branch only");
    assert_eq!(provider.connections.load(Ordering::SeqCst), 1);
}

/// Its connection ends in the middle of every reply but the shortest.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_is_opened_again() {
    let script = r#"
[[replies]]
steps = [{ text = "Done" }]
"#;
    let provider = WebSocketProvider::start(script, Some(7)).await;
    let lab = Lab::start(Plan {
        config: &provider.row(),
        ..Plan::default()
    })
    .await;
    for _ in 0..3 {
        lab.run().await.ended("no changes");
    }
    let connections = provider.connections.load(Ordering::SeqCst);
    assert!(connections > 1, "{connections}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_where_nobody_is_fails_the_run_and_says_so() {
    let row = format!(
        "[providers.script]\nurl = \"ws://127.0.0.1:{}/\"\n",
        crate::peers::process::free_port()
    );
    let lab = Lab::start(Plan {
        config: &row,
        ..Plan::default()
    })
    .await;
    let played = lab.run().await;
    played.ended("failed(transport)");
    assert!(
        played.summary().contains("127.0.0.1 cannot be connected"),
        "{}",
        played.summary()
    );
}

/// Says that it is done, whatever it is asked.
const C_PROVIDER: &str = r#"
#include "pullwright_plugin.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
uint32_t pullwright_plugin_abi_version(void) { return PULLWRIGHT_ABI_VERSION; }
void *pullwright_plugin_open(const pullwright_host *host) {
    pullwright_host *copy = malloc(sizeof *copy);
    if (copy) *copy = *host;
    return copy;
}
static void say(pullwright_host *host, const char *text) {
    while (host->on_message(host->context, (const uint8_t *)text, strlen(text)) == PULLWRIGHT_FULL) { }
}
static const char *DELTAS[] = {
    "{\"type\":\"text\",\"delta\":\"All is well\"}",
    "{\"type\":\"item\",\"item\":{\"content\":{\"kind\":\"text\",\"text\":\"All is well\"}}}",
    "{\"type\":\"end\",\"stop\":\"end_turn\",\"raw\":\"stop\"}",
};
int pullwright_plugin_send(void *instance, const uint8_t *message, size_t length) {
    char line[512], head[128] = {0};
    memcpy(head, message, length < 127 ? length : 127);
    const char *id = strstr(head, "\"id\":");
    int number = id ? atoi(id + 5) : 0;
    if (strstr(head, "provider.info")) {
        snprintf(line, sizeof line, "{\"jsonrpc\":\"2.0\",\"id\":%d,\"result\":{\"provenance\":"
            "{\"provider\":\"script\",\"wire\":\"mine\",\"model\":\"c\"}}}", number);
        say(instance, line);
    } else if (strstr(head, "provider.stream")) {
        snprintf(line, sizeof line, "{\"jsonrpc\":\"2.0\",\"id\":%d,\"result\":\"s%d\"}", number, number);
        say(instance, line);
        for (int i = 0; i < 3; i++) {
            snprintf(line, sizeof line, "{\"jsonrpc\":\"2.0\",\"method\":\"provider.delta\",\"params\":"
                "{\"subscription\":\"s%d\",\"result\":%s}}", number, DELTAS[i]);
            say(instance, line);
        }
    }
    return PULLWRIGHT_TAKEN;
}
void pullwright_plugin_close(void *instance) { free(instance); }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_in_a_library_works() {
    let folder = tempfile::tempdir().unwrap();
    let (source, library) = (
        folder.path().join("provider.c"),
        folder.path().join("provider.so"),
    );
    std::fs::write(&source, C_PROVIDER).unwrap();
    let header = Path::new(EXAMPLES).join("c-library");
    let made = Command::new("cc")
        .args(["-std=c11", "-shared", "-fPIC", "-I"])
        .arg(header)
        .arg("-o")
        .args([&library, &source])
        .status();
    if let Err(error) = made {
        eprintln!("SKIPPED: a provider in a library: there is no C compiler `cc`: {error}");
        return;
    }
    let mut sha256 = String::new();
    for byte in Sha256::digest(std::fs::read(&library).unwrap()) {
        write!(sha256, "{byte:02x}").unwrap();
    }
    let row = format!(
        "[providers.script]\nlibrary = \"{}\"\nsha256 = \"{sha256}\"\n",
        library.display()
    );
    let lab = Lab::start(Plan {
        config: &row,
        ..Plan::default()
    })
    .await;
    let played = lab.run().await;
    played.ended("no changes");
    assert!(
        played.summary().contains("All is well"),
        "{}",
        played.summary()
    );
}

/// Answers one question and is gone.
const SHORT_LIVED: &str = r#"#!/bin/sh
say() { printf '%s\n' "$1"; }
while read -r line; do
  id=$(printf '%s' "$line" | sed -n 's/.*"id":\([0-9][0-9]*\),"method".*/\1/p')
  case $line in
    *'"provider.info"'*) say "{\"jsonrpc\":\"2.0\",\"id\":$id,\"result\":{\"provenance\":{\"provider\":\"script\",\"wire\":\"mine\",\"model\":\"sh\"}}}" ; exit ;;
    *'"provider.stream"'*)
      say "{\"jsonrpc\":\"2.0\",\"id\":$id,\"result\":\"s\"}"
      say '{"jsonrpc":"2.0","method":"provider.delta","params":{"subscription":"s","result":{"type":"item","item":{"content":{"kind":"text","text":"All is well"}}}}}'
      say '{"jsonrpc":"2.0","method":"provider.delta","params":{"subscription":"s","result":{"type":"end","stop":"end_turn","raw":"stop"}}}'
      exit ;;
  esac
done
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_has_ended_is_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("provider");
    std::fs::write(&program, SHORT_LIVED).unwrap();
    let row = format!(
        "[providers.script]\ncommand = \"sh\"\nargs = [\"{}\"]\n",
        program.display()
    );
    let lab = Lab::start(Plan {
        config: &row,
        ..Plan::default()
    })
    .await;
    let played = lab.run().await;
    played.ended("no changes");
    assert!(
        played.summary().contains("All is well"),
        "{}",
        played.summary()
    );
}
