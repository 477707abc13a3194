//! PyPI `openapi-spec-validator` and `schemathesis`: the document of the API, and the API by it.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use super::process::Peers;

const CHECK_LIMIT: Duration = Duration::from_secs(120);
/// Hundreds of requests for each operation.
const ATTACK_LIMIT: Duration = Duration::from_secs(540);

/// Validates the document, and each answer by the schema that the document has for it. Prints how many
/// were checked.
const CHECK: &str = r#"
import json
import sys

from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

document, exchanges = (json.load(open(path)) for path in sys.argv[1:])
validate(document)
checked = 0


def check(schema, value, shown):
    global checked
    whole = {**schema, "components": document["components"]}
    errors = [error.message for error in Draft202012Validator(whole).iter_errors(value)]
    if errors:
        sys.exit(f"{shown}: {errors}\n{json.dumps(value)[:2000]}")
    checked += 1


for exchange in exchanges:
    method, path, status = exchange["method"], exchange["path"], str(exchange["status"])
    shown = f"{method} {path} {status}"
    response = document["paths"][path][method]["responses"][status]
    if "$ref" in response:
        response = document["components"]["responses"][response["$ref"].rsplit("/", 1)[1]]
    if "content" not in response:
        continue
    content = response["content"][exchange["headers"]["content-type"]]
    media_type = exchange["headers"]["content-type"]
    if media_type == "text/event-stream":
        schema = content["schema"]["properties"]["data"]["contentSchema"]
        lines = [line for line in exchange["body"].split("\n") if line.startswith("data: ")]
        for line in lines:
            check(schema, json.loads(line[6:]), shown)
    elif media_type.endswith("json"):
        check(content["schema"], json.loads(exchange["body"]), shown)
print(checked)
"#;

/// Checks a document and answers that were given, and says how many bodies and events there were.
pub(crate) async fn check_exchanges(peers: &Peers, document: &Value, exchanges: &Value) -> usize {
    let home = tempfile::tempdir().unwrap();
    let files = ["document.json", "exchanges.json"].map(|name| home.path().join(name));
    for (file, value) in files.iter().zip([document, exchanges]) {
        std::fs::write(file, value.to_string()).unwrap();
    }
    let mut command = Command::new(peers.python());
    command.args(["-c", CHECK]).args(&files);
    let output = run(command, home.path(), CHECK_LIMIT).await;
    let told = told(&output);
    assert!(output.status.success(), "{told}");
    let last = told.lines().next().expect("a count");
    last.parse().expect("a number")
}

/// Lets schemathesis call the server at `url` in every way its document allows, and in many it does not.
/// `config` and `hooks` are files of schemathesis. Answers what it printed.
pub(crate) async fn attack(
    peers: &Peers,
    url: &str,
    config: &str,
    hooks: &str,
    arguments: &[&str],
) -> String {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("schemathesis.toml"), config).unwrap();
    std::fs::write(home.path().join("hooks.py"), hooks).unwrap();
    let mut command = Command::new(peers.python().with_file_name("schemathesis"));
    command
        .arg("run")
        .arg(format!("{url}/openapi.json"))
        .args(arguments)
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("PYTHONPATH", home.path());
    let output = run(command, home.path(), ATTACK_LIMIT).await;
    let told = told(&output);
    assert!(output.status.success(), "{}", findings(&told));
    told
}

/// What was found, without the account of what was done before.
fn findings(told: &str) -> &str {
    let at = told.find("= ERRORS =").or(told.find("= FAILURES ="));
    &told[at.unwrap_or(0)..]
}

async fn run(mut command: Command, home: &Path, limit: Duration) -> Output {
    command
        .env("HOME", home)
        .env("NO_COLOR", "1")
        .current_dir(home)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(limit, command.output()).await;
    output
        .unwrap_or_else(|_| panic!("no end in {limit:?}"))
        .unwrap()
}

fn told(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
