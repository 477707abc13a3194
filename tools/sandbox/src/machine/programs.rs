//! The programs that a run may need, and which version of them is here.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::finding::Finding;

/// What is looked for, with the argument that asks for its version.
const KNOWN: [(&str, &str); 12] = [
    ("git", "--version"),
    ("rustc", "--version"),
    ("cargo", "--version"),
    ("node", "--version"),
    ("npm", "--version"),
    ("python3", "--version"),
    ("go", "version"),
    ("java", "--version"),
    ("ruby", "--version"),
    ("gcc", "--version"),
    ("make", "--version"),
    ("docker", "--version"),
];

/// A program that takes longer to say its version hangs.
const TIMEOUT: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(5);

/// A version is one short line.
const MAX_OUTPUT_BYTES: u64 = 4096;
const MAX_VERSION_CHARS: usize = 60;

/// The first git whose partial clones and protocol settings are what fetching relies upon.
const OLDEST_GIT: (u32, u32) = (2, 30);

/// Variables that programs need to find themselves. Nothing else is passed on: keys are in the
/// environment too.
const VARIABLES: [&str; 4] = ["PATH", "HOME", "RUSTUP_HOME", "CARGO_HOME"];

/// A program that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Program {
    /// Its name.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// What it says its version is; `None` if it does not say.
    pub version: Option<String>,
}

/// The known programs in this process's `PATH`.
pub(super) fn find() -> Vec<Program> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    // All at once, so that the slowest one sets the time.
    std::thread::scope(|scope| {
        let found = KNOWN.into_iter().filter_map(|(name, argument)| {
            let path = find_in(&folders, name)?;
            Some(scope.spawn(move || ask(name, path, argument)))
        });
        let asked: Vec<_> = found.collect();
        asked
            .into_iter()
            .filter_map(|one| one.join().ok())
            .collect()
    })
}

pub(super) fn judge_git(programs: &[Program]) -> Finding {
    let remedy = format!("install git {}.{} or later", OLDEST_GIT.0, OLDEST_GIT.1);
    let Some(git) = programs.iter().find(|program| program.name == "git") else {
        return Finding::no("git", "no repository can be fetched: there is none in PATH")
            .remedy(remedy);
    };
    let version = git.version.as_deref().unwrap_or_default();
    match numbers(version) {
        Some(found) if found >= OLDEST_GIT => Finding::ok("git", version),
        Some(_) => Finding::partial("git", format!("{version} is not tested")).remedy(remedy),
        None => {
            let meaning = format!("{} does not say its version", git.path.display());
            Finding::partial("git", meaning).remedy(remedy)
        }
    }
}

pub(super) fn judge_others(programs: &[Program]) -> Finding {
    let others = programs.iter().filter(|program| program.name != "git");
    let others: Vec<String> = others.map(shown).collect();
    match others.is_empty() {
        true => Finding::partial("toolchains", "none in PATH: checks can run scripts only"),
        false => Finding::ok("toolchains", others.join(", ")),
    }
}

fn find_in(folders: &[PathBuf], name: &str) -> Option<PathBuf> {
    let absolute = folders.iter().filter(|folder| folder.is_absolute());
    let mut files = absolute.map(|folder| folder.join(name));
    files.find(|file| is_program(file))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;

    path.metadata()
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

fn ask(name: &str, path: PathBuf, argument: &str) -> Program {
    let mut command = Command::new(&path);
    command.arg(argument).env_clear().current_dir("/");
    command.envs(VARIABLES.iter().filter_map(|name| {
        let value = std::env::var_os(name)?;
        Some((*name, value))
    }));
    // A question must not install anything.
    command.env("RUSTUP_AUTO_INSTALL", "0");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let output = command.spawn().ok().and_then(wait);
    Program {
        name: name.to_owned(),
        path,
        version: output.as_deref().and_then(version),
    }
}

/// What it wrote, if it ended well and in time.
fn wait(mut child: Child) -> Option<String> {
    let start = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(None) if start.elapsed() < TIMEOUT => std::thread::sleep(PAUSE),
            Ok(Some(status)) => break status,
            Ok(None) | Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    };
    let mut output = Vec::new();
    // What it started may still hold the other end, so what is there must do.
    let stdout = child.stdout.take()?;
    rustix::fs::fcntl_setfl(&stdout, rustix::fs::OFlags::NONBLOCK).ok()?;
    let _ = stdout.take(MAX_OUTPUT_BYTES).read_to_end(&mut output);
    status
        .success()
        .then(|| String::from_utf8_lossy(&output).into_owned())
}

fn version(output: &str) -> Option<String> {
    let line = output
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())?;
    let plain = line.chars().filter(|c| !c.is_control());
    Some(plain.take(MAX_VERSION_CHARS).collect())
}

fn shown(program: &Program) -> String {
    let version = program.version.as_deref().and_then(number);
    match version {
        Some(version) => format!("{} {version}", program.name),
        None => program.name.clone(),
    }
}

/// The number in a version, such as the `1.95.0` of `rustc 1.95.0 (59807616e 2026-04-14)`.
fn number(version: &str) -> Option<&str> {
    let words = version.split_whitespace();
    let mut words = words.map(|word| word.trim_start_matches("go").trim_start_matches('v'));
    let number = words.find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    Some(number.trim_end_matches([',', ')']))
}

/// The first two numbers of a version.
fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut numbers = number(version)?.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn script(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        (folder, path)
    }

    fn version_of(text: &str) -> Option<String> {
        let (_folder, path) = script(text);
        ask("program", path, "--version").version
    }

    #[test]
    fn a_version_is_the_first_line_and_harmless() {
        assert_eq!(
            version_of("echo; printf '\\033[31m1.2.3\\n'; echo more"),
            Some("[31m1.2.3".to_owned())
        );
        assert_eq!(version_of("exit 3"), None);
        let long = version_of("head -c 1000 /dev/zero | tr '\\0' x").unwrap();
        assert_eq!(long.len(), MAX_VERSION_CHARS);
    }

    #[test]
    fn a_program_that_hangs_or_floods_is_ended() {
        assert_eq!(version_of("exec sleep 1000"), None);
        assert_eq!(version_of("exec cat /dev/zero"), None);
        // The one it leaves behind keeps the pipe open.
        assert_eq!(version_of("sleep 20 & echo 1.0"), Some("1.0".to_owned()));
    }

    #[test]
    fn a_program_sees_no_key() {
        assert_eq!(
            version_of("env | grep -v -E '^(PATH|HOME|RUSTUP_|CARGO_HOME|PWD|SHLVL|_)' ; echo end"),
            Some("end".to_owned())
        );
    }

    #[test]
    fn the_number_is_found_in_what_each_says() {
        for (version, found) in [
            ("rustc 1.95.0 (59807616e 2026-04-14)", "1.95.0"),
            ("v20.18.1", "20.18.1"),
            ("10.8.2", "10.8.2"),
            ("go version go1.22.1 linux/amd64", "1.22.1"),
            ("gcc (Debian 12.2.0-14+deb12u1) 12.2.0", "12.2.0-14+deb12u1"),
            ("Docker version 27.5.1, build 9f9e405", "27.5.1"),
        ] {
            assert_eq!(number(version), Some(found));
        }
        assert_eq!(number("gcc (Debian)"), None);
    }

    #[test]
    fn a_missing_and_an_old_git_are_told_apart() {
        let git = |version: &str| Program {
            name: "git".to_owned(),
            path: PathBuf::from("/usr/bin/git"),
            version: Some(version.to_owned()),
        };
        let state = |programs: &[Program]| judge_git(programs).state.name();
        assert_eq!(state(&[]), "no");
        assert_eq!(state(&[git("git version 2.39.5 (Apple Git-154)")]), "ok");
        assert_eq!(state(&[git("git version 2.9.1")]), "partial");
        assert_eq!(state(&[git("git")]), "partial");
    }
}
