//! Tools in native libraries, beside the same ones in a program: what changes is a row.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use super::lab::{Lab, Plan};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");

const COUNT: &str = r#"
[[replies]]
steps = [
  { tool_call = { name = "words__count", arguments = { text = "one two three" } } },
  { tool_call = { name = "words__top", arguments = { text = "a b a", limit = 1 } } },
  { tool_call = { name = "words__spell", arguments = { text = "well done", pause_ms = 100 } } },
  { tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } },
]
[[replies]]
expect = { results_are_errors = false, results_contain = ["3", "2 a", "said 2 words"] }
steps = [{ tool_call = { name = "words__top", arguments = { text = "", limit = 0 } } }]
[[replies]]
expect = { results_are_errors = true, results_contain = ["limit must be from 1 to 1000, not 0"] }
steps = [{ text = "Greet shortly" }]
"#;

/// Where cargo puts what the workspace's tests need.
fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let deps = test.parent().unwrap();
    let places = [deps.join(name), deps.parent().unwrap().join(name)];
    let found = places.iter().find(|place| place.is_file());
    let found = found.unwrap_or_else(|| panic!("{name} is missing; run `cargo build --workspace`"));
    found.canonicalize().unwrap()
}

fn library_row(name: &str, library: &Path, sha256: &str) -> String {
    let library = library.display();
    format!("[tools.{name}]\nlibrary = \"{library}\"\nsha256 = \"{sha256}\"\nrequired = true\n")
}

fn sha256(path: &Path) -> String {
    let mut hex = String::new();
    for byte in Sha256::digest(std::fs::read(path).unwrap()) {
        write!(hex, "{byte:02x}").unwrap();
    }
    hex
}

async fn ends_well(script: &str, rows: &str) {
    let lab = Lab::start(Plan {
        script,
        config: rows,
        ..Plan::default()
    })
    .await;
    lab.run().await.ended("branch only");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_source_is_a_program_and_a_library() {
    let library = built(&format!(
        "{}word_count{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    ));
    ends_well(COUNT, &library_row("words", &library, &sha256(&library))).await;
    let program = built("word-count").display().to_string();
    let row = format!("[tools.words]\ncommand = \"{program}\"\nruns = \"host\"\nrequired = true\n");
    ends_well(COUNT, &row).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_library_in_c_is_a_tool() {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("libslug.so");
    let made = Command::new("cc")
        .args(["-std=c11", "-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(Path::new(EXAMPLES).join("c-library/slug.c"))
        .status();
    if let Err(error) = made {
        eprintln!("SKIPPED: a tool in C: there is no C compiler `cc`: {error}");
        return;
    }
    let script = r#"
[[replies]]
steps = [
  { tool_call = { name = "slug__slug", arguments = { text = "A Fine Day!" } } },
  { tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } },
]
[[replies]]
expect = { results_are_errors = false, results_contain = ["a-fine-day"] }
steps = [{ text = "Greet shortly" }]
"#;
    ends_well(script, &library_row("slug", &library, &sha256(&library))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_library_that_is_not_the_pinned_one_ends_the_run() {
    let library = built(&format!(
        "{}word_count{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    ));
    let (pinned, there) = ("0".repeat(64), sha256(&library));
    let lab = Lab::start(Plan {
        script: COUNT,
        config: &library_row("words", &library, &pinned),
        ..Plan::default()
    })
    .await;
    let played = lab.run().await;
    played.ended("failed(tool_server)");
    let said = played.summary();
    assert!(said.contains(&pinned) && said.contains(&there), "{said}");
}
