//! That programs find the proxy by the environment, and that what it says reaches a person.

use std::process::Stdio;

use pullwright_sandbox::egress::{Access, EgressLimits, Method, SystemResolver, proxy_environment};
use tokio::process::Command;

use super::peer::Peer;
use super::rig::{Names, Rig, local};
use crate::bench::{bounded, private_folder};

/// Each of these wants something of a host that is not allowed, over TLS and without.
const CLIENTS: &[(&str, &str)] = &[
    ("curl", "curl -sS SCHEME://registry.test/"),
    ("git", "git ls-remote SCHEME://registry.test/a.git"),
    ("wget", "wget -q -O - SCHEME://registry.test/"),
    (
        "pip",
        "pip download --disable-pip-version-check --retries 0 --no-deps -i SCHEME://registry.test/simple \
         --trusted-host registry.test nothing",
    ),
    (
        "npm",
        "npm view nothing --registry SCHEME://registry.test/ --fetch-retries 0",
    ),
    (
        "cargo",
        "CARGO_NET_RETRY=0 cargo search nothing --index sparse+SCHEME://registry.test/index/",
    ),
];

#[tokio::test]
async fn programs_ask_the_proxy() {
    for (program, script) in CLIENTS {
        if !is_installed(program).await {
            eprintln!("SKIPPED: {program} is not installed");
            continue;
        }
        for (scheme, method) in [("https", Method::Connect), ("http", Method::Http)] {
            let rig = Rig::new(&[]);
            let said = run(&rig, &script.replace("SCHEME", scheme)).await;
            let records = rig.finish().await;
            let is_asked =
                |record: &Access| record.host == "registry.test" && record.method == method;
            assert!(
                records.iter().any(is_asked),
                "{program} {scheme}: {records:?} {said}"
            );
            eprintln!(
                "{program} {scheme}: {}",
                said.trim().lines().last().unwrap_or_default()
            );
        }
    }
}

#[tokio::test]
async fn the_projects_own_servers_are_reached_without_it() {
    if !is_installed("curl").await {
        eprintln!("SKIPPED: curl is not installed");
        return;
    }
    let mut peer = Peer::new().await;
    let rig = Rig::new(&[]);
    let script = format!(
        "curl -sS http://{}/ http://{}/",
        peer.address,
        peer.at("localhost")
    );
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhere\n";
    let serving = async {
        peer.answer(0, answer).await;
        peer.answer(0, answer).await;
    };
    let (said, ()) = tokio::join!(run(&rig, &script), serving);
    assert_eq!(said, "here\nhere\n");
    assert_eq!(rig.finish().await, []);
}

#[tokio::test]
async fn curl_fetches_through_it_by_the_names_of_this_machine() {
    if !is_installed("curl").await {
        eprintln!("SKIPPED: curl is not installed");
        return;
    }
    let mut peer = Peer::new().await;
    let target = peer.at("localhost");
    let resolver = std::sync::Arc::new(SystemResolver::new());
    let names = std::sync::Arc::new(Names::default());
    let rig = Rig::with_resolver(local(&[&target]), EgressLimits::default(), names, resolver);
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhere\n";
    for options in ["", "--proxytunnel"] {
        let script = format!("curl -sS --noproxy '' {options} http://{target}/");
        let (said, _) = tokio::join!(run(&rig, &script), peer.answer(0, answer));
        assert_eq!(said, "here\n");
    }
    assert!(rig.finish().await.len() >= 2);
}

/// What a script says in the environment of a sandbox with this proxy.
async fn run(rig: &Rig, script: &str) -> String {
    let home = private_folder();
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec 2>&1; {script}")]);
    command
        .env_clear()
        .envs(proxy_environment(rig.address.port()));
    for kept in ["PATH", "RUSTUP_HOME"] {
        command.envs(std::env::var(kept).map(|value| (kept, value)));
    }
    if let (Err(_), Ok(home)) = (std::env::var("RUSTUP_HOME"), std::env::var("HOME")) {
        command.env("RUSTUP_HOME", format!("{home}/.rustup"));
    }
    command
        .env("HOME", home.path())
        .env("GIT_TERMINAL_PROMPT", "0");
    command.current_dir(home.path()).stdin(Stdio::null());
    let output = bounded(command.kill_on_drop(true).output()).await.unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn is_installed(program: &str) -> bool {
    let mut command = Command::new(program);
    command
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().await.is_ok_and(|status| status.success())
}
