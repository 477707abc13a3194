//! What we ask of GitHub's API is as its own description has it, and so is what the emulator answers, but for
//! what is known.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio::process::Command;

use super::fault::Fault;
use super::ground::Ground;
use super::http::{Answer, Request};
use super::scene::Scene;
use super::stage::Stage;
use crate::peers::process::Peers;

/// GitHub's description, where the peers are installed.
const DESCRIPTION: &str = "openapi/api.github.com.json";

/// Bodies of rules, as the tests of the preflight have them.
const RULES: &str = include_str!("../../../../tools/github/tests/it/rules.json");

/// A missed delivery, as the tests of those have it.
const DELIVERY: &str = include_str!("../../../../tools/github/tests/it/app/delivery.json");

/// A request and its answer, as the check reads them.
#[derive(Clone, Debug)]
pub(super) struct Exchange(Value);

impl Exchange {
    pub(super) fn of(request: &Request, answer: &Answer) -> Self {
        let json = |body: &[u8]| -> Value { serde_json::from_slice(body).unwrap_or_default() };
        Self(json!({
            "method": request.method.to_ascii_lowercase(),
            "path": request.api_route().unwrap_or(&request.path),
            "query": request.query,
            "asked": json(&request.body),
            "status": answer.status,
            "answered": json(&answer.body),
        }))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_and_answers_are_as_github_describes_them() {
    let Some(peers) = Peers::find_with("GitHub's description of its API", DESCRIPTION) else {
        return;
    };
    let description = peers.root().join(DESCRIPTION);
    let mut exchanges = Vec::new();
    for stage in [
        Stage::PullCreate,
        Stage::PullUpdate,
        Stage::Token,
        Stage::ForkPropose,
        Stage::People,
    ] {
        exchanges.extend(exchanges_of(&peers, stage).await);
    }
    exchanges.extend(refusals());
    exchanges.extend(rules());
    exchanges.extend(deliveries());
    let said = check(&peers, &description, &exchanges).await;
    let (deviations, held) = said.trim_end().rsplit_once('\n').unwrap_or(("", &said));
    assert!(held.trim().parse::<usize>().unwrap() > 20, "{said}");
    compare(deviations);
}

/// What a run without any fault asks and is answered.
pub(super) async fn exchanges_of(peers: &Peers, stage: Stage) -> Vec<Value> {
    let repository = "case-0";
    let ground = Ground::start(peers, &[repository.to_owned()]).await;
    let scene = Scene::set(&ground, repository, stage, None, 1.0).await;
    let server = scene.desk.serve("data").await;
    let (_, frames) = server.code(&scene.asked).await;
    assert_eq!(
        frames.last().unwrap()["outcome"],
        "pull request",
        "{frames:#?}"
    );
    server.kill().await;
    ground.stop().await;
    let exchanges = scene.proxy.exchanges();
    exchanges.into_iter().map(|exchange| exchange.0).collect()
}

/// The refusals of the fault matrix, as answers to creating a pull request; those of limits and proxies are
/// described for no operation.
fn refusals() -> Vec<Value> {
    let refusals = Fault::of(Stage::PullCreate).filter_map(|fault| fault.answer.refusal());
    let described = refusals.filter(|(status, _)| [403, 422].contains(status));
    described
        .map(|(status, body)| {
            json!({
                "method": "post", "path": "/repos/dev/demo/pulls", "query": "", "asked": null,
                "status": status, "answered": body,
            })
        })
        .collect()
}

/// The rules that the preflight reads.
fn rules() -> Vec<Value> {
    let bodies: Value = serde_json::from_str(RULES).unwrap();
    let read = |path: &str, query: &str, answered: &Value| {
        json!({
            "method": "get", "path": format!("/repos/octo/demo{path}"), "query": query, "asked": null,
            "status": 200, "answered": answered,
        })
    };
    vec![
        read(
            "/rules/branches/work",
            "per_page=100&page=1",
            &bodies["rules"],
        ),
        read("/rulesets/42", "", &bodies["ruleset"]),
    ]
}

/// The list of missed deliveries, and what is asked for again.
fn deliveries() -> [Value; 2] {
    let delivery: Value = serde_json::from_str(DELIVERY).unwrap();
    [
        json!({
            "method": "get", "path": "/app/hook/deliveries", "query": "per_page=100&cursor=v1_1",
            "asked": null, "status": 200, "answered": [delivery],
        }),
        json!({
            "method": "post", "path": "/app/hook/deliveries/1/attempts", "query": "", "asked": null,
            "status": 202, "answered": {},
        }),
    ]
}

async fn check(peers: &Peers, description: &Path, exchanges: &[Value]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("exchanges.json");
    std::fs::write(&file, serde_json::to_string(exchanges).unwrap()).unwrap();
    let mut command = Command::new(peers.python());
    let command = command
        .arg(beside("openapi.py"))
        .arg(description)
        .arg(&file);
    let output = command.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complaint}");
    said
}

/// Fails where other deviations are found than those that are known, or writes them.
fn compare(deviations: &str) {
    let file = beside("openapi.deviations.txt");
    let deviations = format!("{deviations}\n");
    if std::env::var("UPDATE_FIXTURES").as_deref() == Ok("1") {
        std::fs::write(&file, deviations).unwrap();
        return;
    }
    let known = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(
        deviations,
        known,
        "UPDATE_FIXTURES=1 writes {}",
        file.display()
    );
}

fn beside(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fault_matrix");
    folder.join(name)
}
