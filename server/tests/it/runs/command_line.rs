//! The program itself.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::lab::{GREET, PROGRAM, make_folder, write_config};
use super::project::{FILES, git, make_remote};

/// A project, its remote and a configuration on disk.
pub(crate) struct Desk {
    pub(crate) path: PathBuf,
    pub(crate) remote: PathBuf,
    _folder: TempDir,
}

impl Desk {
    pub(crate) fn new(script: &str, sections: &str) -> Self {
        Self::with_server_keys(script, sections, "")
    }

    /// With more keys in `[server]`.
    pub(crate) fn with_server_keys(script: &str, sections: &str, keys: &str) -> Self {
        let (path, folder) = make_folder();
        let remote = make_remote(&path, FILES);
        std::fs::write(path.join("script.toml"), script).expect("write the script");
        let data = path.join("data");
        std::fs::create_dir(&data).expect("make the data folder");
        let sections = format!("{sections}\n[server]\ndata_dir = \"data\"\n{keys}\n");
        write_config(&path, &sections, "github.com");
        Self {
            path,
            remote,
            _folder: folder,
        }
    }

    pub(crate) fn pullwright(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .args(arguments)
            .current_dir(&self.path)
            .env_remove("PULLWRIGHT_LOG")
            .env_remove("DATABASE_URL")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.pullwright(arguments)
            .output()
            .expect("start pullwright")
    }

    pub(crate) fn remote(&self) -> &str {
        self.remote.to_str().expect("UTF-8")
    }
}

/// The one line in which the program says why it does not go on.
pub(crate) fn refusal(output: &Output) -> String {
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{complaint}");
    let lines: Vec<&str> = complaint.lines().collect();
    let errors = lines.iter().filter(|line| line.starts_with("error: "));
    assert_eq!(errors.count(), 1, "{complaint}");
    assert!(!complaint.contains("panicked"), "{complaint}");
    complaint
}

#[test]
fn code_prints_frames_and_pushes() {
    let desk = Desk::new(GREET, "");
    let prompt = "Greet shortly";
    let output = desk.run(&[
        "code",
        desk.remote(),
        prompt,
        "--config",
        "plugins.toml",
        "--json",
    ]);
    let shown = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(
        output.status.success(),
        "{shown}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let frames: Vec<Value> = shown
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let done = frames.last().expect("a frame");
    assert_eq!(done["outcome"], "branch only");
    let branch = done["branch"].as_str().expect("a branch");
    assert!(branch.starts_with("pullwright/greet-shortly-"), "{branch}");
    let greeting = git(
        &desk.remote,
        &["show", &format!("{branch}:src/greeting.txt")],
    );
    assert_eq!(greeting, "hi\n");
}

#[test]
fn a_failed_run_is_a_failed_command() {
    let desk = Desk::new("replies = []", "");
    let output = desk.run(&[
        "code",
        desk.remote(),
        "x",
        "--config",
        "plugins.toml",
        "--json",
    ]);
    assert!(!output.status.success());
    let shown = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(shown.contains("failed(provider_request)"), "{shown}");
}

#[test]
fn a_database_of_another_kind_is_refused_without_its_password() {
    let desk = Desk::new(GREET, "");
    let serve = [
        "serve",
        "--config",
        "plugins.toml",
        "--listen",
        "127.0.0.1:0",
    ];
    for url in ["mysql://me:hunter2@db/runs", "me:hunter2@db", ""] {
        let output = desk.pullwright(&serve).env("DATABASE_URL", url).output();
        let refused = refusal(&output.expect("start pullwright"));
        assert!(refused.contains("DATABASE_URL"), "{refused}");
        assert!(!refused.contains("hunter2"), "{refused}");
    }
}

#[test]
fn what_is_wrong_with_the_command_is_told_in_a_line() {
    let desk = Desk::new(GREET, "");
    let refused = |arguments: &[&str]| refusal(&desk.run(arguments));
    let remote = desk.remote();
    let missing = refused(&["code", remote, "x", "--config", "none.toml"]);
    assert!(missing.contains("none.toml"), "{missing}");
    let unknown = [
        "code",
        remote,
        "x",
        "--config",
        "plugins.toml",
        "--provider",
        "scirpt",
    ];
    let unknown = refused(&unknown);
    assert!(
        unknown.contains("`scirpt`") && unknown.contains("script"),
        "{unknown}"
    );
    let nowhere = refused(&["code", "no/such/folder", "x", "--config", "plugins.toml"]);
    assert!(nowhere.contains("no/such/folder"), "{nowhere}");
    let empty = refused(&["code", remote, " ", "--config", "plugins.toml"]);
    assert!(empty.contains("prompt"), "{empty}");
}

#[test]
fn a_bad_configuration_is_told_with_its_line() {
    let desk = Desk::new(GREET, "");
    std::fs::write(desk.path.join("bad.toml"), "[agent]\nprovidr = \"x\"\n").expect("write");
    let told = refusal(&desk.run(&["code", desk.remote(), "x", "--config", "bad.toml"]));
    assert!(
        told.contains("provider") && told.contains("bad.toml"),
        "{told}"
    );
}

#[test]
fn a_folder_that_is_no_repository_is_told() {
    let desk = Desk::new(GREET, "");
    let folder = desk.path.join("data");
    let folder = folder.to_str().expect("UTF-8");
    let output = desk.run(&["code", folder, "x", "--config", "plugins.toml", "--json"]);
    assert!(!output.status.success());
    let shown = String::from_utf8(output.stdout).expect("UTF-8");
    let last: Value = serde_json::from_str(shown.lines().last().expect("a line")).expect("JSON");
    assert_eq!(last["outcome"], "failed(repository)", "{shown}");
}

#[test]
fn serve_listens_to_this_machine_only() {
    let desk = Desk::new(GREET, "");
    let arguments = ["serve", "--config", "plugins.toml", "--listen", "0.0.0.0:0"];
    let told = refusal(&desk.run(&arguments));
    assert!(told.contains("refusing to listen on 0.0.0.0:0"), "{told}");
}

#[test]
fn the_demo_works() {
    let output = Command::new(PROGRAM)
        .arg("demo")
        .stdin(Stdio::null())
        .output();
    let output = output.expect("start pullwright");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{shown}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(shown.contains("The pushed branch against main"), "{shown}");
    assert!(
        shown.contains("+  sort | uniq -c | sort -k1,1nr -k2"),
        "{shown}"
    );
}

/// Every file below a folder.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files.extend(files_below(&entry.path())),
            Ok(kind) if kind.is_file() => files.push(entry.path()),
            _ => {}
        }
    }
    files
}
