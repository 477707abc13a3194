//! What a run's own commands can and cannot do in the sandbox around them.

use std::collections::BTreeSet;

use axum::Router;
use axum::routing::get;
use pullwright_protocol::{Event, NetworkVerdict};
use tokio::net::TcpListener;

use super::lab::{Lab, Plan, Played};

/// A server of this machine, reached by the name `localhost`.
async fn neighbour() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let port = listener.local_addr().expect("an address").port();
    let router = Router::new().route("/", get(|| async { "from outside" }));
    tokio::spawn(async move { axum::serve(listener, router).await });
    port
}

/// A script that runs one command and then says so.
fn one_command(command: &str) -> String {
    // A string of JSON is one of TOML too.
    let command = serde_json::Value::from(command);
    format!(
        "[[replies]]\nsteps = [{{ tool_call = {{ name = \"bash\", arguments = {{ command = {command} }} }} }}]\n\
         [[replies]]\nsteps = [{{ text = \"Looked\" }}]\n"
    )
}

fn output(played: &Played) -> String {
    let calls = played.of("Tool: Bash");
    calls[0]["output"].as_str().expect("an output").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn setup_reaches_what_the_model_does_not_and_both_are_recorded() {
    let (ours, setups) = (neighbour().await, neighbour().await);
    let ask = |port| format!("curl -sS -m 10 --noproxy '' http://localhost:{port}/");
    let script = one_command(&format!("{}; echo; {}", ask(ours), ask(setups)));
    let config = format!(
        "[setup]\nrun = [\"{} > from-setup.txt && {} >> from-setup.txt\"]\nallow = [\"localhost:{setups}\"]\n\
         [sandbox]\nkind = \"local\"\n[sandbox.network]\nallow = [\"localhost:{ours}\"]\n\
         private = [\"localhost:{ours}\", \"localhost:{setups}\"]\n",
        ask(setups),
        ask(ours)
    );
    let lab = Lab::start(Plan {
        script: &script,
        config: &config,
        ..Plan::default()
    })
    .await;
    let played = lab.run().await;
    played.ended("no changes");
    let output = output(&played);
    assert!(output.starts_with("from outside\n"), "{output}");
    assert!(
        output.contains(&format!("refused localhost:{setups}")),
        "{output}"
    );

    let accesses: BTreeSet<(u16, String)> = lab
        .events(&played.id)
        .await
        .into_iter()
        .filter_map(|logged| match logged.event {
            Event::NetworkAccessed { access } => {
                let verdict = match access.verdict {
                    NetworkVerdict::Allowed => "allowed".to_owned(),
                    _ => access.reason.expect("a reason"),
                };
                Some((access.port.expect("a port"), verdict))
            }
            _ => None,
        })
        .collect();
    let expected = [
        (ours, "allowed"),
        (setups, "allowed"),
        (setups, "port_not_allowed"),
    ];
    let expected = expected.map(|(port, verdict)| (port, verdict.to_owned()));
    assert_eq!(accesses, BTreeSet::from(expected));
    let told = format!("the sandbox's network refused localhost:{setups}");
    assert!(played.text.contains(&told), "{}", played.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_cannot_speak_for_its_tool_server() {
    let script = one_command(
        "found=0; for process in /proc/[0-9]*; do \
           if tr '\\0' ' ' < $process/cmdline | grep -q 'tool-host [s]erve'; then found=1; \
             echo forged > $process/fd/1; cat $process/environ; fi; \
         done; echo found=$found",
    );
    let lab = Lab::start(Plan {
        script: &script,
        ..Plan::default()
    })
    .await;
    let played = lab.run().await;
    played.ended("no changes");
    let output = output(&played);
    assert!(output.contains("found=1"), "{output}");
    assert!(!output.contains("PATH="), "{output}");
    assert!(output.contains("fd/1: Permission denied"), "{output}");
}
