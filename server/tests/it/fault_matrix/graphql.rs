//! The mutation by which we have a commit made is as GitHub's own schema has it, and so is what we take for its
//! answer.

use std::path::Path;

use serde_json::Value;
use tokio::process::Command;

use super::openapi::exchanges_of;
use super::stage::Stage;
use crate::peers::process::Peers;

/// GitHub's schema, where the peers are installed.
const SCHEMA: &str = "node_modules/@octokit/graphql-schema/schema.graphql";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mutation_and_its_answer_are_as_githubs_schema_has_them() {
    let Some(peers) = Peers::find_with("GitHub's GraphQL schema", SCHEMA) else {
        return;
    };
    let exchanges = exchanges_of(&peers, Stage::Commit).await;
    let is_graphql = |exchange: &&Value| exchange["path"] == "/graphql";
    let asked: Vec<&Value> = exchanges.iter().filter(is_graphql).collect();
    let [exchange] = asked.as_slice() else {
        panic!("it is asked once: {exchanges:#?}");
    };
    let (is_held, said) = hold(&peers, exchange).await;
    assert!(is_held, "{said}");

    // What is wrong is found.
    let oid = "did not match";
    for (pointer, broken, why) in [
        ("/asked/query", "mutation { createCommit }", "Cannot query"),
        ("/asked/variables/input/branch", "main", "CommittableBranch"),
        ("/asked/variables/input/expectedHeadOid", "main", oid),
        ("/answered/data/createCommitOnBranch/commit/oid", "no", oid),
    ] {
        let mut exchange = (*exchange).clone();
        *exchange.pointer_mut(pointer).expect(pointer) = broken.into();
        let (is_held, said) = hold(&peers, &exchange).await;
        assert!(!is_held && said.contains(why), "{pointer}: {said}");
    }
}

/// Whether a request and its answer are sound, and what is said of them.
async fn hold(peers: &Peers, exchange: &Value) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("exchange.json");
    std::fs::write(&file, exchange.to_string()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fault_matrix/graphql.cjs");
    let mut command = Command::new(peers.node());
    let output = command.arg(script).arg(peers.root()).arg(&file).output();
    let output = output.await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output.status.success(), said)
}
