//! The proxy of the deployment, for real where it is installed.

use std::net::TcpListener;
use std::process::Stdio;

use pullwright_protocol::Event;
use tokio::process::{Child, Command};

use super::skipped;
use super::text::read;
use crate::runs::lab::{self, Lab, Plan};
use crate::support::in_time;

const SLOW: &str = r#"
[[replies]]
steps = [{ tool_call = { name = "bash", arguments = { command = "sleep 600", timeout_sec = 600 } } }]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_pass_at_once_also_where_one_server_is_away() {
    let mut lab = Lab::start(Plan {
        script: SLOW,
        ..Plan::default()
    })
    .await;
    let folder = tempfile::tempdir().expect("a folder");
    let away = format!("127.0.0.1:{}", free_port());
    let port = free_port();
    let config = read("Caddyfile")
        .replace("one:8080 two:8080", &format!("{away} {}", lab.address))
        .replace(":8080 {", &format!("http://127.0.0.1:{port} {{"));
    let file = folder.path().join("Caddyfile");
    std::fs::write(&file, config).expect("write");
    let Some(mut caddy) = start(&file) else {
        skipped("the deployment's proxy: there is no caddy in PATH");
        return;
    };
    lab.address = format!("127.0.0.1:{port}");
    in_time(until_it_listens(port)).await;
    for _ in 0..3 {
        let (run, mut response) = lab.begin().await;
        // The run does not end by itself, so what comes was not kept back.
        let mut seen = String::new();
        while !seen.contains("starts to work") {
            let chunk = in_time(response.chunk()).await.expect("a chunk");
            seen.push_str(&String::from_utf8_lossy(&chunk.expect("more")));
        }
        lab.until(&run, |event| matches!(event, Event::ToolStarted { .. }))
            .await;
        lab.cancel(&run).await;
        lab::read(response).await.ended("cancelled");
    }
    caddy.kill().await.expect("kill");
}

fn start(file: &std::path::Path) -> Option<Child> {
    let folder = file.parent().expect("a folder");
    let mut caddy = Command::new("caddy");
    caddy
        .args(["run", "--adapter", "caddyfile", "--config"])
        .arg(file);
    caddy.envs([
        ("HOME", folder),
        ("XDG_DATA_HOME", folder),
        ("XDG_CONFIG_HOME", folder),
    ]);
    caddy
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    caddy.kill_on_drop(true).spawn().ok()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    listener.local_addr().expect("an address").port()
}

async fn until_it_listens(port: u16) {
    while tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .is_err()
    {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}
