//! Whole runs in sandboxes that a command starts.

use std::process::Command;

use super::lab::{GREET, Lab, Plan, Played, processes_of};

/// The workspace is sent.
const SENT: &str = r#"["sh", "-c", "exec {pullwright} tool-host spawner"]"#;

/// The workspace is shared.
const SHARED: &str = r#"["sh", "-c", "cd {workspace} && exec {pullwright} tool-host spawner"]"#;

/// In namespaces of its own.
const UNSHARED: &str = r#"["unshare", "-Urmpf", "--mount-proc", "--kill-child", "sh", "-c",
  "echo a banner; exec {pullwright} tool-host spawner --root {workspace}"]"#;

/// Each check must find what setup made, in the fresh sandbox too.
const CHECKED: &str = r#"
[setup]
run = ["mkdir -p ignored && echo made > ignored/made", "touch $HOME/home $TMPDIR/tmp"]
[checks]
run = ["cat ignored/made $HOME/home $TMPDIR/tmp", "grep -q h src/greeting.txt"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_change_comes_out_of_a_sent_workspace() {
    publishes(SENT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_comes_out_of_a_shared_workspace() {
    publishes(SHARED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_comes_out_of_namespaces() {
    if skipped_without_namespaces() {
        return;
    }
    publishes(UNSHARED).await;
}

async fn publishes(command: &str) {
    let (lab, played) = play(command, CHECKED, GREET).await;
    played.ended("branch only");
    assert_eq!(lab.pushed_paths(), "M\tsrc/greeting.txt\n");
    assert_eq!(lab.pushed_file("src/greeting.txt"), "hi\n");
    let warned = "WARNING: in a `command` sandbox Pullwright itself limits neither network";
    assert!(played.text.contains(warned), "{}", played.text);
    assert_eq!(processes_of(&played.id), []);
    let checks = played.of("Check");
    assert_eq!(checks.len(), 4);
    assert!(
        checks.iter().all(|check| check["exitCode"] == 0),
        "{checks:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_ends_with_its_run() {
    let script = r#"
[[replies]]
steps = [{ tool_call = { name = "bash", arguments = { command = "env -i setsid sh -c 'exec sleep 977' >/dev/null 2>&1 & setsid sleep 978 >/dev/null 2>&1 &" } } }]
[[replies]]
steps = [{ text = "Done" }]
"#;
    for command in [SENT, SHARED] {
        let (_lab, played) = play(command, "", script).await;
        played.ended("no changes");
        for seconds in ["977", "978"] {
            assert_eq!(running(&format!("sleep {seconds}")), 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_that_dies_midway_ends_the_run() {
    // The shell's parent is the tool server, and that one's parent is the spawner.
    let script = r#"
[[replies]]
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } }]
[[replies]]
steps = [{ tool_call = { name = "bash", arguments = { command = "kill -9 $(awk '/^PPid/{print $2}' /proc/$PPID/status); sleep 976" } } }]
[[replies]]
steps = [{ text = "Greet shortly" }]
"#;
    for command in [SENT, SHARED] {
        let (_lab, played) = play(command, "", script).await;
        played.ended("failed(sandbox)");
        assert!(played.summary().contains("SIGKILL"), "{}", played.summary());
        assert_eq!(processes_of(&played.id), []);
        assert_eq!(running("sleep 976"), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_does_not_become_a_sandbox_is_told() {
    for (command, keys, expected) in [
        (
            r#"["sh", "-c", "sleep 1000"]"#,
            "startup_timeout_sec = 0.5",
            "did not begin to speak within 0.5 s",
        ),
        (
            r#"["sh", "-c", "echo no such image >&2; exit 125"]"#,
            "",
            "no such image",
        ),
        (
            r#"["sh", "-c", "exec {pullwright} --version"]"#,
            "",
            "printed: pullwright",
        ),
        (
            r#"["sh", "-c", "exec {pullwright} tool-host spawner --root /no/such/folder"]"#,
            "",
            "cannot make the sandbox's folders: No such file",
        ),
    ] {
        let (_lab, played) = play(command, keys, GREET).await;
        played.ended("failed(sandbox)");
        assert!(played.summary().contains(expected), "{}", played.summary());
    }
}

/// Plays a script to its end; `more` are further keys of `[sandbox]`, or sections.
async fn play(command: &str, more: &str, script: &str) -> (Lab, Played) {
    let config = format!("[sandbox]\nkind = \"command\"\ncommand = {command}\n{more}\n");
    let lab = Lab::start(Plan {
        script,
        config: &config,
        ..Plan::default()
    })
    .await;
    let played = lab.run().await;
    (lab, played)
}

fn skipped_without_namespaces() -> bool {
    let tried = Command::new("unshare")
        .args(["-Urmpf", "--mount-proc", "true"])
        .output();
    let refused = match tried {
        Ok(tried) if tried.status.success() => return false,
        Ok(tried) => String::from_utf8_lossy(&tried.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    eprintln!("SKIPPED: this machine refuses namespaces: {refused}");
    true
}

/// How many processes have this command line.
fn running(words: &str) -> usize {
    let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let wanted = words.replace(' ', "\0");
    lines
        .filter(|line| {
            String::from_utf8_lossy(line)
                .trim_end_matches('\0')
                .ends_with(&wanted)
        })
        .count()
}
