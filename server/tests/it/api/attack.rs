//! The real program under schemathesis: hundreds of requests for each operation, sound and broken ones,
//! alone and one after another, each answer compared with the document.

use serde_json::json;

use crate::key_commands::create;
use crate::key_commands::serving::Serving;
use crate::peers::http_backend::{Behaviour, HttpBackend};
use crate::peers::openapi::attack;
use crate::peers::process::Peers;
use crate::runs::command_line::Desk;
use crate::runs::lab::{GREET, write_config};
use crate::support::{http_client, in_time};

/// More than one client may do.
const LIMITS: &str = "[server]
data_dir = \"data\"
requests_per_minute = 100000
request_burst = 100000
failed_auth_per_minute = 100000
max_queued_runs = 1000
max_runs_per_key = 1000
[webhooks.github]
secret_env = [\"HOOK\"]
";

/// What a schema cannot say is no fault of the document: an event that has not happened, a cursor that
/// was never given out, an idempotency key that came before, a message of blanks.
const CONFIG: &str = r#"
[[operations]]
include-path-regex = "/(code|runs|audit|events|stream|messages|github)$"
[operations.checks]
positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "422", "429"]
"#;

/// Makes sound requests such that they come through: to a repository that is listed, without names that
/// only the configuration knows, and every other one to a run that there is.
const HOOKS: &str = r#"
import zlib

import schemathesis


@schemathesis.hook
def before_call(context, case, kwargs):
    if not case.meta.generation.mode.is_positive:
        return
    if isinstance(case.body, dict) and "repoUrl" in case.body:
        case.body["repoUrl"] = "{REPOSITORY}"
        for field in ("provider", "branch", "baseBranch"):
            case.body.pop(field, None)
    named = (case.path_parameters or {}).get("id")
    if named and (case.path.endswith(("/patch", "/cancel", "/messages")) or zlib.crc32(named.encode(errors="replace")) % 2):
        case.path_parameters["id"] = "{RUN}"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_nothing() {
    let Some(peers) = Peers::find("the API under schemathesis") else {
        return;
    };
    let desk = Desk::new(GREET, "");
    let backend = HttpBackend::start(desk.path.join("remotes"), Behaviour::Open).await;
    // Where nothing answers, a run tries again for a while.
    let nothing = format!("{}/owner/nothing.git", backend.origin());
    let hosts = format!("[repositories]\nhosts = [\"{}\"]\n", backend.host());
    write_config(&desk.path, &format!("{hosts}{LIMITS}"), "");
    let secret = create(&desk, &["ann", "--scope", "run,read", "--scope", "admin"]);
    let variables = [
        ("PULLWRIGHT_LOG", "error"),
        ("HOOK", "a secret of webhooks"),
    ];
    let server = Serving::start_with(&desk, "127.0.0.1:0", &variables);
    let run = changed(&server.url(), &secret, &backend).await;
    let hooks = HOOKS
        .replace("{RUN}", &run)
        .replace("{REPOSITORY}", &nothing);
    let authorization = format!("Authorization: Bearer {secret}");
    let arguments = [
        "--checks=all",
        "--continue-on-failure",
        "--generation-deterministic",
        "--max-examples=50",
        "--request-timeout=20",
        "--header",
        &authorization,
    ];
    let told = attack(&peers, &server.url(), CONFIG, &hooks, &arguments).await;
    // A run that reached nothing would find nothing as well.
    assert!(!told.contains("Missing test data"), "{told}");
    for phase in ["Coverage", "Fuzzing", "Stateful"] {
        assert!(told.contains(&format!("✅ {phase}")), "{told}");
    }
    let said = server.end();
    assert!(!said.contains("panicked"), "{said}");
}

/// A run that has ended with a patch.
async fn changed(url: &str, secret: &str, backend: &HttpBackend) -> String {
    let repository = format!("{}/owner/project.git", backend.origin());
    let body = json!({ "repoUrl": repository, "prompt": "Greet shortly" });
    let request = http_client()
        .post(format!("{url}/code"))
        .bearer_auth(secret)
        .header("Content-Type", "application/json")
        .body(body.to_string());
    let response = in_time(request.send()).await.expect("an answer");
    let run = response.headers()["x-run-id"].to_str().expect("text");
    let run = run.to_owned();
    let frames = in_time(response.text()).await.expect("its end");
    assert!(frames.contains("/patch\""), "{frames}");
    run
}
