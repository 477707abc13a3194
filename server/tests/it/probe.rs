//! `pullwright probe`, against a server that works and some that do not.

use axum::Router;
use axum::http::{Response, StatusCode};
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::runs::lab::{GREET, Lab, PROGRAM, Plan};
use crate::support::in_time;

/// What was said, and whether the server is said to work.
async fn probe(url: &str, repository: &str) -> (String, bool) {
    let mut command = Command::new(PROGRAM);
    command
        .args(["probe", url, "--repo", repository, "--prompt", "Greet"])
        .kill_on_drop(true);
    let output = in_time(command.output()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (
        said + &String::from_utf8_lossy(&output.stderr),
        output.status.success(),
    )
}

/// A server that answers every task with this.
async fn answering(status: u16, kind: &'static str, body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = move || async move {
        let answer = Response::builder().status(StatusCode::from_u16(status).unwrap());
        answer
            .header("content-type", kind)
            .header("x-run-id", "1")
            .body(body.to_owned())
            .unwrap()
    };
    let app = Router::new().route("/code", post(answer));
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_works_is_said_to() {
    let lab = Lab::start(Plan {
        script: GREET,
        ..Plan::default()
    })
    .await;
    let (said, works) = probe(&format!("http://{}/", lab.address), &lab.repository()).await;
    assert!(works && said.ends_with("This server works.\n"), "{said}");
    for row in [
        "accepted after",
        "first frame after",
        "longest silence",
        "branch only",
    ] {
        assert!(said.contains(row), "{row}: {said}");
    }
    assert_eq!(lab.pushed_file("src/greeting.txt"), "hi\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_is_told_why() {
    const DONE: &str = "id: 2\ndata: {\"type\":\"Done\",\"outcome\":\"branch only\"}\n\n";
    let stream = "text/event-stream";
    let cases = [
        (
            401,
            "text/plain",
            "a token is missing",
            "answered 401 Unauthorized: a token is missing",
        ),
        (
            200,
            "text/html",
            DONE,
            "the answer is `text/html`, not `text/event-stream`",
        ),
        (
            200,
            stream,
            "id: 1\ndata: {\"type\":\"Status\"}\n\n",
            "the stream ended without `Done`",
        ),
        (
            200,
            stream,
            "id: 1\ndata: hello\n\n",
            "frame 1 is no JSON with a `type`",
        ),
        (
            200,
            stream,
            "data: {\"type\":\"Done\",\"outcome\":\"x\"}\n\n",
            "frame 1 has no id",
        ),
        (
            200,
            stream,
            "id: 3\ndata: {\"type\":\"Status\"}\n\nid: 2\ndata: {\"type\":\"Done\",\"outcome\":\"x\"}\n\n",
            "frame 2 has id 2 after 3",
        ),
        (
            200,
            stream,
            "id: 1\ndata: {\"type\":\"Done\",\"outcome\":\"failed(clone)\",\"summary\":\"no such repository\"}\n\n",
            "the run ended as `failed(clone)`: no such repository",
        ),
    ];
    for (status, kind, body, expected) in cases {
        let url = answering(status, kind, body).await;
        let (said, works) = probe(&url, "https://example.com/x.git").await;
        assert!(!works && said.contains(expected), "{expected}: {said}");
    }
    let mut command = Command::new(PROGRAM);
    command.args([
        "probe",
        "http://127.0.0.1:1",
        "--repo",
        "x",
        "--prompt",
        "x",
    ]);
    command.args(["--header", "Modal-Key=PULLWRIGHT_TEST_NOT_SET"]);
    let output = in_time(command.output()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("PULLWRIGHT_TEST_NOT_SET is not set"),
        "{said}"
    );
    let (said, works) = probe("http://127.0.0.1:1", "https://example.com/x.git").await;
    assert!(
        !works && said.contains("cannot reach http://127.0.0.1:1/code"),
        "{said}"
    );
}
