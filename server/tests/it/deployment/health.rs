//! `pullwright health`.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::runs::lab::{Lab, PROGRAM, Plan};

async fn health(address: &str) -> (bool, String) {
    let mut command = tokio::process::Command::new(PROGRAM);
    // A proxy of the machine's has no say in it.
    let command = command.args(["health", &format!("http://{address}")]);
    let output = command.env("HTTP_PROXY", "http://127.0.0.1:1").output();
    let output = crate::support::in_time(output)
        .await
        .expect("start pullwright");
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_ready_or_says_why_not() {
    let lab = Lab::start(Plan::default()).await;
    assert_eq!(health(&lab.address).await, (true, "ready\n".to_owned()));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("an address").to_string();
    let broken = Router::new().route("/readyz", get(|| async { StatusCode::SERVICE_UNAVAILABLE }));
    let serving = tokio::spawn(async move { axum::serve(listener, broken).await });
    let (is_ready, said) = health(&address).await;
    assert!(
        !is_ready && said.contains("503") && said.contains("not ready"),
        "{said}"
    );
    serving.abort();
    let _ = serving.await;
    let (is_ready, said) = health(&address).await;
    assert!(!is_ready && said.contains("does not answer"), "{said}");
}
