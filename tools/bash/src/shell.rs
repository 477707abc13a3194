//! The shell: how a command is started, and what the tool answers.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use pullwright_tool_kit::{Call, Output, Refusal};
use rustix::process::Pid;
use tokio::sync::Semaphore;

use crate::args::Bash;
use crate::capture::{Capture, Printed};
use crate::report::{Background, Report};
use crate::running::{End, Running};
use crate::tree::{self, MARK_VARIABLE, Tree};
use crate::{environment, live, orphans, script};

/// How many commands may leave processes behind that still print: each costs a descriptor.
const MAX_LEFT_PRINTING: usize = 32;

/// Starts commands in one workspace. Dropping it kills every process they left behind.
#[derive(Debug)]
pub struct Shell {
    root: PathBuf,
    /// The program and the arguments that come before the script.
    program: Vec<PathBuf>,
    leads_session: bool,
    mark: String,
    started: AtomicU64,
    left_printing: Arc<Semaphore>,
}

impl Shell {
    /// A shell for the workspace `root`: bash, or sh where there is none.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        let (program, leads_session) = shell_program();
        Self {
            root: root.canonicalize().unwrap_or(root),
            program,
            leads_session,
            mark: server_mark(),
            started: AtomicU64::new(0),
            left_printing: Arc::new(Semaphore::new(MAX_LEFT_PRINTING)),
        }
    }

    /// Runs a command to its end: the tool's one function.
    ///
    /// # Errors
    /// When the arguments are wrong or the shell cannot be started; then nothing has happened. A
    /// command that fails, is killed or runs out of time is an ordinary answer that says so.
    pub async fn bash(self: Arc<Self>, args: Bash, call: Call) -> Result<Output, Refusal> {
        args.check_command()?;
        let limit = args.timeout()?;
        let folder = args.folder(&self.root)?;
        let begin = Instant::now();
        let running = self.start(&args.command, &folder)?;
        let capture = Capture::default();
        let work = async {
            let outcome = self.finish(running, limit, &call, &capture).await;
            capture.finish();
            outcome
        };
        let (outcome, ()) = tokio::join!(work, live::stream(&capture, &call));
        let (end, background) = outcome?;
        let (output_bytes, output) = capture.into_shown();
        Ok(Report {
            output,
            output_bytes,
            end,
            limit,
            background,
            duration: begin.elapsed(),
        }
        .answer())
    }

    /// Waits for the end of the command and decides what becomes of its processes.
    async fn finish(
        &self,
        mut running: Running,
        limit: Duration,
        call: &Call,
        capture: &Capture,
    ) -> Result<(End, Background), Refusal> {
        let end = running
            .end(limit, call.cancelled().cancelled(), capture)
            .await
            .map_err(|error| Refusal::new(format!("the shell was lost: {error}; try again")))?;
        match end {
            End::Exited(_) if !running.left_processes() => {
                running.tree.release();
                Ok((end, Background::None))
            }
            End::Exited(_) => Ok((end, self.leave(running, capture).await)),
            End::TimedOut => Ok((end, Background::None)),
            End::Cancelled => Err(Refusal::new("cancelled: every process was killed")),
        }
    }

    /// Lets the processes live on, or kills them where there are too many already.
    async fn leave(&self, mut running: Running, capture: &Capture) -> Background {
        if running.printed.ended() {
            running.tree.release();
            return Background::Left;
        }
        let Ok(permit) = Arc::clone(&self.left_printing).try_acquire_owned() else {
            running.kill(capture).await;
            return Background::Refused;
        };
        running.tree.release();
        let printed = running.printed;
        tokio::spawn(async move {
            printed.discard().await;
            drop(permit);
        });
        Background::Left
    }

    fn start(&self, script: &str, folder: &Path) -> Result<Running, Refusal> {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let mark = tree::command_mark(&self.mark, number);
        let mut command = self.command(folder, &mark);
        let file = script::give(&mut command, script)?;
        let (shell, printed) = spawn(command).map_err(|error| {
            let remedy = match error.kind() {
                io::ErrorKind::NotFound => "the folder or the shell is gone",
                _ => "end processes left in the background, then try again",
            };
            Refusal::new(format!(
                "the shell {} could not be started in {}: {error}; {remedy}",
                self.program[0].display(),
                folder.display(),
            ))
        })?;
        let (pid, shell) = shell;
        Ok(Running {
            tree: Tree::new(pid, mark),
            shell,
            printed,
            _script: file,
        })
    }

    fn command(&self, folder: &Path, mark: &str) -> Command {
        let mut command = Command::new(&self.program[0]);
        command
            .args(&self.program[1..])
            .current_dir(folder)
            .env("PWD", folder)
            // Without it bash asks the user database, which loads libraries, for every command.
            .env("SHELL", self.shell())
            .envs(environment::SET)
            .env(MARK_VARIABLE, mark)
            .stdin(Stdio::null());
        for name in environment::UNSET {
            command.env_remove(name);
        }
        if !self.leads_session {
            command.process_group(0);
        }
        command
    }

    /// The shell's own file: the program, or what `setsid` is to start.
    fn shell(&self) -> &Path {
        &self.program[usize::from(self.leads_session)]
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        if *self.started.get_mut() > 0 {
            tree::kill_all_of_server(&self.mark);
        }
    }
}

/// Starts the shell. Its standard output and error are one pipe, so that their order is kept.
fn spawn(mut command: Command) -> io::Result<((Pid, tokio::process::Child), Printed)> {
    let (reader, writer) = io::pipe()?;
    let printed = Printed::new(reader)?;
    command.stdout(writer.try_clone()?).stderr(writer);
    let mut shells = orphans::shells();
    let child = tokio::process::Command::from(command).spawn()?;
    let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let pid = pid.ok_or_else(|| io::Error::other("it has no process number"))?;
    shells.insert(pid.as_raw_pid());
    Ok(((pid, child), printed))
}

/// The shell and its first arguments, and whether it will lead a session of its own.
///
/// Where this process has a terminal, a command could ask there and wait: `setsid` takes it away, at
/// the price of a second exec. A tool host has none.
fn shell_program() -> (Vec<PathBuf>, bool) {
    let mut program = match in_path("bash") {
        Some(bash) => vec![bash, "--noprofile".into(), "--norc".into()],
        None => vec![in_path("sh").unwrap_or_else(|| "/bin/sh".into())],
    };
    let has_terminal = File::open("/dev/tty").is_ok();
    match in_path("setsid").filter(|_| has_terminal) {
        Some(setsid) => {
            program.insert(0, setsid);
            (program, true)
        }
        None => (program, false),
    }
}

fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|program| program.is_absolute() && program.is_file())
}

/// What all commands of this server, and of no other, carry in their environment.
fn server_mark() -> String {
    static SERVERS: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let number = SERVERS.fetch_add(1, Ordering::Relaxed);
    format!("{:x}.{}.{number}", now.as_nanos(), std::process::id())
}
