//! Tool servers behind an address: both eras, credentials, and servers that mean no good.

pub(crate) mod fake;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use axum::http::{HeaderMap, Method};
use pullwright_core::tools::{
    ApproveAll, Connector, ToolAnswer, ToolCallError, ToolIo, ToolNotice, ToolServer,
    ToolServerError, ToolServerOptions,
};
use pullwright_link::{McpHttp, McpHttpOptions};
use pullwright_protocol::item::joined_text;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::support::in_time;
use fake::{Era, FakeHttp};

/// A hundred thousand messages take a while where nothing is optimised and other tests keep the machine
/// busy.
const FLOOD_PATIENCE: Duration = Duration::from_secs(600);

const TOKEN: &str = "abcdef-token";

#[tokio::test]
async fn both_eras_are_spoken_with_credentials_on_every_request() {
    for era in [Era::Legacy, Era::Modern] {
        let fake = FakeHttp::start(era);
        let server = connect(&fake.url).await.unwrap();
        assert_eq!(answered(&server, "echo").await, "{\"n\":1}", "{era:?}");
        drop(server);
        if era == Era::Legacy {
            let deleted = |(method, _): &(Method, HeaderMap)| method == Method::DELETE;
            in_time(fake.until(|fake| fake.headers().iter().any(deleted))).await;
        }
        for (method, headers) in fake.headers() {
            assert_eq!(
                headers["authorization"],
                format!("Bearer {TOKEN}"),
                "{method}"
            );
            assert_eq!(headers["x-team"], "docs");
        }
        assert_eq!(fake.requests("initialize").is_empty(), era == Era::Modern);
        let (headers, call) = fake.requests("tools/call").remove(0);
        let session = headers.get("mcp-session-id").map(|id| id.to_str().unwrap());
        let (version, wanted) = match era {
            Era::Modern => ("2026-07-28", None),
            _ => ("2025-11-25", Some("session-1")),
        };
        assert_eq!(headers["mcp-protocol-version"], version);
        assert_eq!(session, wanted);
        if era == Era::Modern {
            assert_eq!(headers["mcp-method"], "tools/call");
            assert_eq!(headers["mcp-name"], "echo");
            let meta = &call["params"]["_meta"];
            assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], version);
        }
    }
}

#[tokio::test]
async fn a_server_that_never_answers_the_probe_costs_two_seconds() {
    let fake = FakeHttp::start(Era::Silent);
    let started = Instant::now();
    let server = connect(&fake.url).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(6));
    assert_eq!(answered(&server, "echo").await, "{\"n\":1}");
}

#[tokio::test]
async fn a_server_that_never_answers_costs_its_startup_timeout() {
    let fake = FakeHttp::start(Era::Mute);
    let mut options = options();
    options.startup_timeout = Duration::from_millis(2500);
    let started = Instant::now();
    let error = connect_with(&fake.url, options).await.err().unwrap();
    assert!(
        matches!(error, ToolServerError::StartupTimeout { .. }),
        "{error}"
    );
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn an_answer_that_does_not_begin_is_an_error() {
    let fake = FakeHttp::start(Era::Legacy);
    let mut http = http_options(&fake.url);
    http.first_byte_timeout = Duration::from_millis(300);
    let server = connect_to(http, options()).await.unwrap();
    let error = call(&server, "hang").await.unwrap_err();
    assert!(matches!(error, ToolCallError::Refused(_)), "{error}");
    assert!(
        error
            .to_string()
            .contains("did not begin to answer within 0.3 s"),
        "{error}"
    );
    assert_eq!(answered(&server, "echo").await, "{\"n\":1}");
}

#[tokio::test]
async fn a_session_that_is_forgotten_is_opened_anew_and_the_call_is_made() {
    let fake = FakeHttp::start(Era::Legacy);
    let server = connect(&fake.url).await.unwrap();
    let mut notices = server.take_notices().unwrap();
    assert_eq!(answered(&server, "forget").await, "forgotten");
    // The server has not looked at the call, so it does no harm to make it again.
    assert_eq!(answered(&server, "echo").await, "{\"n\":1}");
    assert_eq!(fake.sessions_opened(), 2);
    assert_eq!(
        fake.requests("tools/list").len(),
        2,
        "the tools are looked at again"
    );
    let notice = in_time(notices.recv()).await.unwrap();
    let ToolNotice::Restarted { reason } = notice else {
        panic!("{notice:?}");
    };
    assert!(reason.contains("forgotten the session"), "{reason}");
}

#[tokio::test]
async fn bad_answers_are_errors_that_say_what_is_bad() {
    let fake = FakeHttp::start(Era::Legacy);
    let server = connect(&fake.url).await.unwrap();
    for (tool, wanted) in [
        ("endless", "sent more than 16777216 bytes as one answer"),
        ("event", "sent more than 16777216 bytes as one event"),
        (
            "redirect",
            "a redirect to http://elsewhere.invalid, which is not followed",
        ),
        (
            "refuse",
            "HTTP 401; does the variable named by `bearer_token_env_var`",
        ),
        ("junk", "did not answer with an MCP message"),
    ] {
        let error = call(&server, tool).await.unwrap_err();
        assert!(
            matches!(error, ToolCallError::Refused(_)),
            "{tool}: {error}"
        );
        let told = error.to_string();
        assert!(told.contains(wanted), "{tool}: {told}");
        assert!(!told.contains("abcdef"), "{tool}: {told}");
        assert_eq!(answered(&server, "echo").await, "{\"n\":1}", "after {tool}");
    }
    assert_eq!(
        fake.sessions_opened(),
        1,
        "a bad answer does not end the connection"
    );
}

#[tokio::test]
async fn answers_that_break_off_are_a_loss() {
    let fake = FakeHttp::start(Era::Legacy);
    let server = connect(&fake.url).await.unwrap();
    for tool in ["broken", "headers"] {
        let error = call(&server, tool).await.unwrap_err();
        assert!(
            matches!(error, ToolCallError::Lost { .. }),
            "{tool}: {error}"
        );
        assert_eq!(
            fake.requests("tools/call").len() % 2,
            1,
            "{tool} is not called again"
        );
        assert_eq!(answered(&server, "echo").await, "{\"n\":1}", "after {tool}");
    }
}

#[tokio::test]
async fn a_flood_of_messages_is_a_loss() {
    let fake = FakeHttp::start(Era::Legacy);
    let mut options = options();
    options.tool_timeout = FLOOD_PATIENCE;
    let server = connect_with(&fake.url, options).await.unwrap();
    let (output, mut pieces) = mpsc::channel(64);
    // Somebody takes them, or the call would wait for that and not for its server.
    tokio::spawn(async move { while pieces.recv().await.is_some() {} });
    let cancel = CancellationToken::new();
    let (none, meta) = (Default::default(), Default::default());
    let error = server.call("flood", none, meta, &output, &cancel).await;
    let error = error.unwrap_err();
    assert!(matches!(error, ToolCallError::Lost { .. }), "{error}");
    assert_eq!(answered(&server, "echo").await, "{\"n\":1}");
}

#[tokio::test]
async fn a_call_that_ends_early_is_cancelled_on_the_server() {
    for era in [Era::Legacy, Era::Modern] {
        let fake = FakeHttp::start(era);
        let mut options = options();
        options.tool_timeout = Duration::from_millis(500);
        let server = connect_with(&fake.url, options).await.unwrap();
        let late = call(&server, "hang").await.unwrap_err();
        assert!(matches!(late, ToolCallError::Timeout { .. }), "{late}");
        in_time(fake.until(|fake| is_told(fake, era, 1))).await;

        let cancel = CancellationToken::new();
        let ending = async {
            fake.until(|fake| fake.requests("tools/call").len() == 2)
                .await;
            cancel.cancel();
        };
        let calling = call_until(&server, "hang", &cancel);
        let (cancelled, ()) = tokio::join!(calling, in_time(ending));
        assert!(
            matches!(cancelled, Err(ToolCallError::Cancelled)),
            "{cancelled:?}"
        );
        in_time(fake.until(|fake| is_told(fake, era, 2))).await;
        assert_eq!(answered(&server, "echo").await, "{\"n\":1}");
    }
}

/// The older era has a notice for it; in the newer one the request is dropped.
fn is_told(fake: &FakeHttp, era: Era, times: usize) -> bool {
    match era {
        Era::Modern => fake.abandoned() == times,
        _ => fake.requests("notifications/cancelled").len() == times,
    }
}

#[tokio::test]
async fn an_address_without_a_server_says_so_at_once() {
    let address = format!("127.0.0.1:{}", crate::peers::process::free_port());
    let error = connect(&format!("http://{address}/mcp?key=abcdef")).await;
    let told = error.err().unwrap().to_string();
    assert!(
        told.contains(&format!("{address} cannot be reached")),
        "{told}"
    );
    assert!(!told.contains("abcdef"), "{told}");
}

#[tokio::test]
async fn a_server_that_is_gone_for_a_while_is_found_again() {
    let fake = FakeHttp::start(Era::Legacy);
    let url = fake.url.clone();
    let server = connect(&url).await.unwrap();
    drop(fake);
    let coming_back = async {
        loop {
            match FakeHttp::start_at(Era::Legacy, &url) {
                Ok(fake) => return fake,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    let (answer, fake) = tokio::join!(call(&server, "echo"), in_time(coming_back));
    // Either the call found nobody, and was made again, or its connection broke.
    match answer {
        Ok(answer) => assert_eq!(joined_text(&answer.parts), "{\"n\":1}"),
        Err(error) => assert!(matches!(error, ToolCallError::Lost { .. }), "{error}"),
    }
    assert_eq!(answered(&server, "echo").await, "{\"n\":1}");
    assert_eq!(fake.sessions_opened(), 1);
}

#[test]
fn credentials_are_in_no_debug_output() {
    let options = http_options("http://127.0.0.1:1/mcp?key=abcdef");
    let shown = format!("{options:?} {:?}", McpHttp::new(&options).unwrap());
    assert!(!shown.contains("abcdef"), "{shown}");
    let mut bad = options;
    bad.bearer_token = Some("abcdef\n".to_owned());
    let told = McpHttp::new(&bad).unwrap_err().to_string();
    assert!(
        told.contains("Authorization") && !told.contains("abcdef"),
        "{told}"
    );
}

struct Address(McpHttpOptions);

#[async_trait]
impl Connector for Address {
    async fn open(&self) -> Result<ToolIo, ToolServerError> {
        let http = McpHttp::new(&self.0);
        Ok(ToolIo::Http(http.unwrap()))
    }
}

fn http_options(url: &str) -> McpHttpOptions {
    McpHttpOptions {
        url: url.parse().unwrap(),
        bearer_token: Some(TOKEN.to_owned()),
        headers: vec![("X-Team".to_owned(), "docs".to_owned())],
        first_byte_timeout: Duration::from_secs(10),
        discover_timeout: Duration::from_secs(2),
    }
}

fn options() -> ToolServerOptions {
    ToolServerOptions {
        name: "fake".to_owned(),
        builtin: false,
        short_names: false,
        startup_timeout: Duration::from_secs(10),
        tool_timeout: Duration::from_secs(10),
        enabled_tools: None,
        disabled_tools: Vec::new(),
        required: false,
    }
}

async fn connect(url: &str) -> Result<ToolServer, ToolServerError> {
    connect_with(url, options()).await
}

async fn connect_with(
    url: &str,
    options: ToolServerOptions,
) -> Result<ToolServer, ToolServerError> {
    connect_to(http_options(url), options).await
}

async fn connect_to(
    http: McpHttpOptions,
    options: ToolServerOptions,
) -> Result<ToolServer, ToolServerError> {
    let connector = Arc::new(Address(http));
    in_time(ToolServer::connect(
        options,
        connector,
        Arc::new(ApproveAll),
    ))
    .await
}

async fn call(server: &ToolServer, tool: &str) -> Result<ToolAnswer, ToolCallError> {
    call_until(server, tool, &CancellationToken::new()).await
}

async fn call_until(
    server: &ToolServer,
    tool: &str,
    cancel: &CancellationToken,
) -> Result<ToolAnswer, ToolCallError> {
    let (output, _pieces) = mpsc::channel(64);
    let arguments = json!({ "n": 1 }).as_object().cloned().unwrap();
    in_time(server.call(tool, arguments, Default::default(), &output, cancel)).await
}

async fn answered(server: &ToolServer, tool: &str) -> String {
    joined_text(&call(server, tool).await.unwrap().parts)
}
