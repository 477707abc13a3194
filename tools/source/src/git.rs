//! Runs the git program: an emptied environment, its own process group, and a bound on everything.

mod turns;

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use pullwright_core::source::SourceError;
use pullwright_protocol::FailureKind;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{interval, sleep, timeout};

use crate::config::SourceConfig;
use crate::credential::Secret;
use turns::Turns;

/// Against an error output without end: how much of its tail is kept, in bytes.
const STDERR_TAIL_BYTES: usize = 8 << 10;
/// Against an answer without end, where the caller says nothing else, in bytes.
const STDOUT_MAX_BYTES: usize = 4 << 20;
/// How long a git that is told to stop may tidy up before it is killed.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// How often the size of a growing mirror is measured.
const GROWTH_INTERVAL: Duration = Duration::from_millis(250);
/// Against an object that unpacks to more than the machine has, in KiB of address space.
const UNTRUSTED_MEMORY_KIB: u64 = 8 << 20;

/// By its path: a name is looked up in the new process, for which all of this one must be copied first. That
/// takes the longer the more runs are under way.
const SHELL: &str = "/bin/sh";

/// Configuration of every call: nothing found in a repository or a tree may start a program.
const ALWAYS: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.logAllRefUpdates=false",
    "core.askPass=",
    "credential.helper=",
    "gc.auto=0",
    "maintenance.auto=false",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
];

/// One call of git.
pub(crate) struct Call {
    git_dir: Option<PathBuf>,
    args: Vec<OsString>,
    config: Vec<String>,
    env: Vec<(&'static str, OsString)>,
    input: Input,
    /// A file that is read as standard input, beside a secret.
    list: Option<PathBuf>,
    limit: Duration,
    max_stdout: usize,
    untrusted: bool,
    /// Whose turns it takes; none of a call that waits for another machine.
    turns: Option<Turns>,
    growth: Option<(PathBuf, u64)>,
}

/// What a call reads.
enum Input {
    Nothing,
    Bytes(Vec<u8>),
    File(File),
    /// Handed on as descriptor 9, where the credential helper reads it.
    Secret(Secret),
}

/// What a call left.
pub(crate) struct Output {
    pub(crate) success: bool,
    pub(crate) stdout: Vec<u8>,
    /// The tail of the error output.
    pub(crate) stderr: String,
}

impl Call {
    /// One that works on local files only. It waits for its turn before its time begins.
    pub(crate) fn local<I, S>(config: &SourceConfig, args: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<OsString>,
    {
        Self {
            turns: Some(Turns::Short),
            ..Self::new(config.timeouts.local, args)
        }
    }

    pub(crate) fn new<I, S>(limit: Duration, args: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<OsString>,
    {
        Self {
            git_dir: None,
            args: args.into_iter().map(Into::into).collect(),
            config: Vec::new(),
            env: Vec::new(),
            input: Input::Nothing,
            list: None,
            limit,
            max_stdout: STDOUT_MAX_BYTES,
            untrusted: false,
            turns: None,
            growth: None,
        }
    }

    pub(crate) fn git_dir(mut self, dir: &Path) -> Self {
        self.git_dir = Some(dir.to_owned());
        self
    }

    pub(crate) fn config<S: Into<String>>(mut self, more: impl IntoIterator<Item = S>) -> Self {
        self.config.extend(more.into_iter().map(Into::into));
        self
    }

    pub(crate) fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.env.push((name, value.into()));
        self
    }

    pub(crate) fn bytes(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Input::Bytes(bytes.into());
        self
    }

    pub(crate) fn file(mut self, file: File) -> Self {
        self.input = Input::File(file);
        self
    }

    pub(crate) fn secret(mut self, secret: Option<Secret>) -> Self {
        self.input = secret.map_or(Input::Nothing, Input::Secret);
        self
    }

    /// The call reads this file, whether it gets a secret or not.
    pub(crate) fn list(mut self, path: &Path) -> Self {
        self.list = Some(path.to_owned());
        self
    }

    pub(crate) fn max_stdout(mut self, bytes: usize) -> Self {
        self.max_stdout = bytes;
        self
    }

    /// The call reads objects that a sandbox made.
    pub(crate) fn untrusted(mut self) -> Self {
        self.untrusted = true;
        self
    }

    /// The call writes or packs a whole tree.
    pub(crate) fn whole_tree(mut self) -> Self {
        self.turns = Some(Turns::WholeTree);
        self
    }

    /// Ends the call when the folder grows beyond so many bytes.
    pub(crate) fn growth(mut self, dir: &Path, max_bytes: u64) -> Self {
        self.growth = Some((dir.to_owned(), max_bytes));
        self
    }

    /// Runs it. An error means that it could not run or exceeded a bound; git's own failure is in
    /// [`Output::success`].
    pub(crate) async fn run(self, config: &SourceConfig) -> Result<Output, SourceError> {
        let name = self.name();
        let _turn = match self.turns {
            Some(turns) => Some(turns.take(&name).await?),
            None => None,
        };
        let mut child = self.command(config).spawn().map_err(|error| {
            internal(format!(
                "git cannot be started as `{}` ({error}); install git and a POSIX sh",
                config.git.display()
            ))
        })?;
        let mut group = Group::of(&child);
        let Self {
            input,
            limit,
            max_stdout,
            growth,
            turns,
            ..
        } = self;
        let outcome = tokio::select! {
            done = talk(&mut child, input, max_stdout) => done.map_err(|why| broken(&name, why)),
            () = outgrown(growth.as_ref()) => Err(too_big(&name, growth.as_ref())),
            () = sleep(limit) => Err(SourceError::new(
                FailureKind::Limit,
                format!("`git {name}` took more than {} s and was stopped", limit.as_secs()),
            )
            // It waited for another machine, or the way there.
            .passing(turns.is_none())),
        };
        if outcome.is_err() {
            group.stop(&mut child).await;
        }
        group.disarm();
        outcome
    }

    fn name(&self) -> String {
        self.args
            .first()
            .map_or_else(String::new, |arg| arg.to_string_lossy().into_owned())
    }

    fn command(&self, config: &SourceConfig) -> Command {
        let mut command = Command::new(SHELL);
        command.arg("-c").arg(self.script(config)).arg(&config.git);
        command.args(&self.list);
        for entry in ALWAYS
            .iter()
            .copied()
            .chain(self.config.iter().map(String::as_str))
        {
            command.arg("-c").arg(entry);
        }
        command.args(&self.args).env_clear();
        for (name, value) in self.environment(config) {
            command.env(name, value);
        }
        command
            .current_dir(&config.data_dir)
            .process_group(0)
            .kill_on_drop(true)
            .stdin(self.stdin())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Sets the limits of the process and puts the secret where only git's helper looks.
    fn script(&self, config: &SourceConfig) -> String {
        let file_blocks = config.max_clone_bytes.max(config.max_bundle_bytes) / 512 + 1;
        let mut script = format!("ulimit -c 0; ulimit -f {file_blocks}; ");
        if self.untrusted {
            script += &format!("ulimit -v {UNTRUSTED_MEMORY_KIB} 2>/dev/null; ");
        }
        if matches!(self.input, Input::Secret(_)) {
            script += "exec 9<&0 </dev/null; ";
        }
        if self.list.is_some() {
            script += "exec <\"$1\"; shift; ";
        }
        script + "exec \"$0\" \"$@\""
    }

    fn environment(&self, config: &SourceConfig) -> Vec<(&'static str, OsString)> {
        let mut env: Vec<(&'static str, OsString)> = vec![
            (
                "PATH",
                std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()),
            ),
            ("HOME", config.data_dir.join("no-home").into()),
            ("LC_ALL", "C".into()),
            ("GIT_CONFIG_NOSYSTEM", "1".into()),
            ("GIT_CONFIG_GLOBAL", "/dev/null".into()),
            ("GIT_ATTR_NOSYSTEM", "1".into()),
            ("GIT_TERMINAL_PROMPT", "0".into()),
            ("GIT_NO_REPLACE_OBJECTS", "1".into()),
            ("GIT_NO_LAZY_FETCH", "1".into()),
            ("GIT_OPTIONAL_LOCKS", "0".into()),
            ("GIT_LFS_SKIP_SMUDGE", "1".into()),
        ];
        match (&self.git_dir, config.data_dir.parent()) {
            (Some(dir), _) => env.push(("GIT_DIR", dir.into())),
            // A data folder inside somebody's repository must not bring in its configuration.
            (None, Some(above)) => env.push(("GIT_CEILING_DIRECTORIES", above.into())),
            (None, None) => {}
        }
        let protocol = ("GIT_ALLOW_PROTOCOL", OsString::from("none"));
        if self.env.iter().all(|(name, _)| *name != protocol.0) {
            env.push(protocol);
        }
        env.extend(self.env.iter().cloned());
        env
    }

    fn stdin(&self) -> Stdio {
        match &self.input {
            Input::Nothing => Stdio::null(),
            Input::Bytes(_) | Input::Secret(_) => Stdio::piped(),
            Input::File(file) => file.try_clone().map_or_else(|_| Stdio::null(), Stdio::from),
        }
    }
}

/// Feeds the child, collects what it says and waits for its end.
async fn talk(child: &mut Child, input: Input, max_stdout: usize) -> Result<Output, String> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (_, stdout, stderr) = tokio::try_join!(
        feed(stdin, input),
        collect(stdout, max_stdout),
        tail(stderr),
    )?;
    let status = child.wait().await.map_err(|error| error.to_string())?;
    Ok(Output {
        success: status.success(),
        stdout,
        stderr,
    })
}

async fn feed(stdin: Option<ChildStdin>, input: Input) -> Result<(), String> {
    let Some(mut stdin) = stdin else {
        return Ok(());
    };
    let bytes = match &input {
        Input::Bytes(bytes) => bytes,
        Input::Secret(secret) => secret.as_bytes(),
        Input::Nothing | Input::File(_) => return Ok(()),
    };
    // A child that does not read to the end says why in its exit status.
    let _ = stdin.write_all(bytes).await;
    Ok(())
}

async fn collect(from: Option<impl AsyncRead + Unpin>, max: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let Some(from) = from else { return Ok(bytes) };
    let mut from = from.take(max as u64 + 1);
    from.read_to_end(&mut bytes)
        .await
        .map_err(|error| error.to_string())?;
    if bytes.len() > max {
        return Err(format!("it wrote more than {max} bytes"));
    }
    Ok(bytes)
}

async fn tail(from: Option<impl AsyncRead + Unpin>) -> Result<String, String> {
    let Some(mut from) = from else {
        return Ok(String::new());
    };
    let (mut kept, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let read = from
            .read(&mut chunk)
            .await
            .map_err(|error| error.to_string())?;
        if read == 0 {
            return Ok(String::from_utf8_lossy(&kept).into_owned());
        }
        kept.extend_from_slice(&chunk[..read]);
        let excess = kept.len().saturating_sub(STDERR_TAIL_BYTES);
        kept.drain(..excess);
    }
}

/// Ends when the folder is larger than it may be.
async fn outgrown(growth: Option<&(PathBuf, u64)>) {
    let Some((dir, max)) = growth else {
        return std::future::pending().await;
    };
    let mut ticks = interval(GROWTH_INTERVAL);
    loop {
        ticks.tick().await;
        let dir = dir.clone();
        let size = tokio::task::spawn_blocking(move || folder_size(&dir)).await;
        if size.is_ok_and(|size| size > *max) {
            return;
        }
    }
}

/// The sizes of all files below a folder of our own, in bytes.
pub(crate) fn folder_size(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => folder_size(&entry.path()),
            Ok(data) => data.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Kills the whole process group of a call whose future is dropped.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }

    /// Lets git remove its temporary files, then kills what is left.
    async fn stop(&mut self, child: &mut Child) {
        self.signal(Signal::TERM);
        let ended = timeout(STOP_GRACE, child.wait()).await;
        self.signal(Signal::KILL);
        if ended.is_err() {
            let _ = child.wait().await;
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, signal);
        }
    }

    fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

fn too_big(name: &str, growth: Option<&(PathBuf, u64)>) -> SourceError {
    let max = growth.map_or(0, |(_, max)| max >> 20);
    SourceError::new(
        FailureKind::Limit,
        format!(
            "`git {name}` brought more than {max} MiB and was stopped; raise \
             `[repositories] max_clone_mb` if the repository is meant to be that large"
        ),
    )
}

fn broken(name: &str, why: String) -> SourceError {
    SourceError::new(
        FailureKind::Limit,
        format!("`git {name}` was stopped: {why}"),
    )
}

fn internal(message: String) -> SourceError {
    SourceError::new(FailureKind::Internal, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_local_call_waits_for_its_turn_before_its_time_begins() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = SourceConfig::new(folder.path().to_owned());
        let turns = u32::try_from(Turns::Short.count()).unwrap();
        let all = Turns::Short.all().acquire_many(turns).await.unwrap();
        let limit = std::mem::replace(&mut config.timeouts.local, Duration::from_millis(1));
        let waiting = Call::local(&config, ["version"]).run(&config);
        assert!(timeout(Duration::from_millis(50), waiting).await.is_err());
        config.timeouts.local = limit;
        let whole = Call::local(&config, ["version"]).whole_tree();
        assert!(whole.run(&config).await.unwrap().success);
        drop(all);
        let run = Call::local(&config, ["version"]).run(&config);
        assert!(run.await.unwrap().success);
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_is_not_waited_for_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let config = SourceConfig::new(folder.path().to_owned());
        let turns = u32::try_from(Turns::WholeTree.count()).unwrap();
        let _all = Turns::WholeTree.all().acquire_many(turns).await.unwrap();
        let waiting = Call::local(&config, ["version"]).whole_tree();
        let Err(error) = waiting.run(&config).await else {
            panic!("it had no turn");
        };
        let said = error.to_string();
        assert!(said.contains("`git version` was not started"), "{said}");
        assert!(said.contains("max_concurrent_runs"), "{said}");
    }
}
