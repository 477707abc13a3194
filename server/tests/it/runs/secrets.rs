//! Secrets of the server's environment stay there.

use super::command_line::{Desk, files_below};

const API_KEY: &str = "sk-test-3f1c8a7e55d04b6c9e21";
const TOKEN: &str = "ghp_test0123456789abcdefABCDEF";

const SCRIPT: &str = r#"
[[replies]]
steps = [
  { tool_call = { name = "bash", arguments = { command = "env; set; cat /proc/self/environ | tr '\\0' '\\n'; cat /proc/$PPID/environ | tr '\\0' '\\n'; echo reached" } } },
  { tool_call = { name = "bash", arguments = { command = "for p in /proc/[0-9]*/environ; do cat $p 2>/dev/null | tr '\\0' '\\n'; done | grep -a _test || echo nothing" } } },
  { tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } },
]
[[replies]]
expect = { results_contain = ["reached"] }
steps = [{ text = "Greet shortly" }]
"#;

const SECTIONS: &str = r#"
[providers.other]
wire_api = "anthropic_messages"
base_url = "https://api.anthropic.com"
env_key = "ANTHROPIC_API_KEY"
model = "other"
[tools.github]
builtin = "github"
runs = "host"
hosts = ["github.com"]
env_vars = ["GITHUB_TOKEN"]
[setup]
run = ["env"]
[checks]
run = ["env"]
"#;

#[test]
fn no_secret_reaches_the_sandbox_the_stream_or_the_disk() {
    let desk = Desk::new(SCRIPT, SECTIONS);
    let remote = desk.remote.to_str().expect("UTF-8");
    let output = desk
        .pullwright(&[
            "code",
            remote,
            "Greet",
            "--config",
            "plugins.toml",
            "--json",
        ])
        .env("ANTHROPIC_API_KEY", API_KEY)
        .env("GITHUB_TOKEN", TOKEN)
        .env("PULLWRIGHT_LOG", "debug")
        .output()
        .expect("start pullwright");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stdout}{stderr}");
    assert!(
        stdout.contains("PULLWRIGHT_RUN="),
        "env was not shown: {stdout}"
    );
    let files = files_below(&desk.path);
    let store = files.iter().any(|path| path.ends_with("data/runs.sqlite"));
    assert!(store, "{files:?}");
    for secret in [API_KEY, TOKEN] {
        assert!(!stdout.contains(secret), "in the frames: {stdout}");
        assert!(!stderr.contains(secret), "in the log: {stderr}");
        for path in &files {
            let bytes = std::fs::read(path).expect("read");
            let found = bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "in {}", path.display());
        }
    }
}
