//! The arguments of a call, checked before anything is started.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use pullwright_tool_kit::Refusal;
use schemars::JsonSchema;
use serde::Deserialize;

/// How long a command may run when the call does not say.
const DEFAULT_TIMEOUT_SEC: u64 = 120;

/// The longest time a call may ask for, so that one command cannot use up a run.
const MAX_TIMEOUT_SEC: u64 = 600;

/// Runs a bash command in the workspace and returns what it printed (standard output and error
/// together) and its exit code.
///
/// Each call is a new shell: a `cd` or a variable does not last until the next call. There is no
/// terminal and no input, so use flags instead of prompts, pagers and editors (`git commit -m`,
/// `npm init -y`). Long output is cut in the middle. A command that outlives its time-out is killed
/// with everything it started. A server can be left running with `command >server.log 2>&1 &`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bash {
    /// The command, or a script of several lines.
    pub command: String,
    /// Seconds until the command is killed: 1 to 600, 120 when absent.
    #[serde(default)]
    #[schemars(range(min = 1, max = 600))]
    pub timeout_sec: Option<u64>,
    /// The folder to run in, relative to the workspace; the workspace itself when absent.
    #[serde(default)]
    pub workdir: Option<String>,
}

impl Bash {
    /// Refuses a command that cannot be started.
    pub(crate) fn check_command(&self) -> Result<(), Refusal> {
        if self.command.trim().is_empty() {
            return Err(Refusal::new("`command` is empty: say what to run"));
        }
        if self.command.contains('\0') {
            return Err(Refusal::new(
                "`command` contains a NUL byte, which no shell can take: write it as `\\0` in printf",
            ));
        }
        Ok(())
    }

    /// The time-out, refused where it is out of range.
    pub(crate) fn timeout(&self) -> Result<Duration, Refusal> {
        match self.timeout_sec.unwrap_or(DEFAULT_TIMEOUT_SEC) {
            seconds @ 1..=MAX_TIMEOUT_SEC => Ok(Duration::from_secs(seconds)),
            seconds => Err(Refusal::new(format!(
                "`timeout_sec` is {seconds}, but must be from 1 to {MAX_TIMEOUT_SEC}: start longer work \
                 in the background with its output in a file, and look at the file later"
            ))),
        }
    }

    /// The folder to run in, refused where it is none or lies outside of `root`.
    pub(crate) fn folder(&self, root: &Path) -> Result<PathBuf, Refusal> {
        let Some(workdir) = self.workdir.as_deref().filter(|path| !path.is_empty()) else {
            return Ok(root.to_owned());
        };
        let outside = || {
            Refusal::new(format!(
                "`workdir` `{workdir}` is outside of the workspace: give a folder relative to it"
            ))
        };
        if !stays_below(root, Path::new(workdir)) {
            return Err(outside());
        }
        let folder = root.join(workdir).canonicalize().map_err(|error| {
            Refusal::new(format!(
                "`workdir` `{workdir}` cannot be used: {error}; give an existing folder relative to \
                 the workspace"
            ))
        })?;
        if !folder.starts_with(root) {
            return Err(outside());
        }
        if !folder.is_dir() {
            return Err(Refusal::new(format!(
                "`workdir` `{workdir}` is not a folder: give the folder that holds it"
            )));
        }
        Ok(folder)
    }
}

/// Whether the path, by its letters alone, stays below `root`; so that a refusal never tells what
/// exists outside.
fn stays_below(root: &Path, path: &Path) -> bool {
    if path.is_absolute() && !path.starts_with(root) {
        return false;
    }
    let mut depth = 0_i32;
    for part in path.strip_prefix(root).unwrap_or(path).components() {
        match part {
            Component::ParentDir => depth -= 1,
            Component::Normal(_) => depth += 1,
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
        if depth < 0 {
            return false;
        }
    }
    true
}
