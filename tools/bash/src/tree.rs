//! All processes of a command, or of a server: found and killed.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::orphans;
use crate::processes::{self, Process};

/// The variable by which a process is known to belong to a command, however far it has wandered.
pub(crate) const MARK_VARIABLE: &str = "PULLWRIGHT_COMMAND";

/// How long killing may take: a fork bomb must not hold the server for ever.
const KILL_LIMIT: Duration = Duration::from_secs(3);

/// How long to let killed processes end before looking again.
const KILL_PAUSE: Duration = Duration::from_millis(1);

/// The processes of one command. Dropping it kills them, unless it was released.
#[derive(Debug)]
pub(crate) struct Tree {
    shell: Pid,
    mark: String,
    armed: bool,
}

impl Tree {
    /// The tree of the shell `shell`, which leads its own process group and carries `mark`.
    pub(crate) fn new(shell: Pid, mark: String) -> Self {
        Self {
            shell,
            mark,
            armed: true,
        }
    }

    /// The command ended by itself: what it left behind may live.
    pub(crate) fn release(&mut self) {
        self.armed = false;
        orphans::shells().remove(&self.shell.as_raw_pid());
    }

    /// Asks the processes of the command to end, which lets them remove their lock files.
    pub(crate) fn terminate(&self) {
        let _ = rustix::process::kill_process_group(self.shell, Signal::TERM);
    }

    /// What kills every process of the command, from any thread.
    pub(crate) fn killer(&self) -> impl FnOnce() + Send + 'static {
        let (shell, mark) = (self.shell, self.mark.clone());
        move || {
            let _ = rustix::process::kill_process_group(shell, Signal::KILL);
            kill_until_none_is_left(|all| members(all, shell, &mark));
        }
    }

    /// Whether processes of the command's group live on after its shell.
    pub(crate) fn outlives_shell(&self) -> bool {
        if rustix::process::test_kill_process_group(self.shell).is_err() {
            return false;
        }
        // The group may consist of processes that ended and wait for their parent to ask.
        let group = self.shell.as_raw_pid();
        let all = processes::all();
        all.is_empty() || all.iter().any(|one| one.group == group && !one.ended)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        if self.armed {
            self.killer()();
        }
        orphans::shells().remove(&self.shell.as_raw_pid());
    }
}

/// Kills every process that any command of the server left behind.
pub(crate) fn kill_all_of_server(server_mark: &str) {
    kill_until_none_is_left(|all| {
        let belongs = |one: &&Process| match one.variable(MARK_VARIABLE) {
            Some(mark) => is_of_server(&mark, server_mark),
            None => orphans::is_adopted(one),
        };
        all.iter().filter(belongs).map(raw_pid).collect()
    });
}

/// The mark of a server's command.
pub(crate) fn command_mark(server_mark: &str, number: u64) -> String {
    format!("{server_mark}.{number}")
}

fn is_of_server(mark: &str, server_mark: &str) -> bool {
    mark.strip_prefix(server_mark)
        .is_some_and(|rest| rest.starts_with('.'))
}

/// The seeds of a command's tree. A process that carries no mark at all and was adopted hides its
/// origin; it ends with the first command that is killed.
fn members(all: &[Process], shell: Pid, mark: &str) -> HashSet<i32> {
    let shell = shell.as_raw_pid();
    let belongs = |one: &&Process| {
        let mine = one.pid.as_raw_pid() == shell || one.group == shell;
        mine || match one.variable(MARK_VARIABLE) {
            Some(other) => other == mark,
            None => orphans::is_adopted(one),
        }
    };
    all.iter().filter(belongs).map(raw_pid).collect()
}

/// Kills what `seeds` finds and its descendants, again and again: a process may fork between being
/// seen and being killed.
fn kill_until_none_is_left(seeds: impl Fn(&[Process]) -> HashSet<i32>) {
    let limit = Instant::now() + KILL_LIMIT;
    let own = rustix::process::getpid().as_raw_pid();
    while Instant::now() < limit {
        let mut all = processes::all();
        all.retain(|one| !one.ended && one.pid.as_raw_pid() != own);
        let doomed = processes::with_descendants(&all, seeds(&all));
        if doomed.is_empty() {
            break;
        }
        let doomed = all.iter().filter(|one| doomed.contains(&raw_pid(one)));
        doomed.for_each(Process::kill);
        std::thread::sleep(KILL_PAUSE);
    }
    orphans::reap();
}

fn raw_pid(process: &Process) -> i32 {
    process.pid.as_raw_pid()
}
