//! The names of signals.

use rustix::process::Signal;

/// The signals that end a process, as people know them.
const NAMES: [(Signal, &str); 22] = [
    (Signal::HUP, "SIGHUP"),
    (Signal::INT, "SIGINT"),
    (Signal::QUIT, "SIGQUIT"),
    (Signal::ILL, "SIGILL"),
    (Signal::TRAP, "SIGTRAP"),
    (Signal::ABORT, "SIGABRT"),
    (Signal::BUS, "SIGBUS"),
    (Signal::FPE, "SIGFPE"),
    (Signal::KILL, "SIGKILL"),
    (Signal::USR1, "SIGUSR1"),
    (Signal::SEGV, "SIGSEGV"),
    (Signal::USR2, "SIGUSR2"),
    (Signal::PIPE, "SIGPIPE"),
    (Signal::ALARM, "SIGALRM"),
    (Signal::TERM, "SIGTERM"),
    (Signal::XCPU, "SIGXCPU"),
    (Signal::XFSZ, "SIGXFSZ"),
    (Signal::VTALARM, "SIGVTALRM"),
    (Signal::PROF, "SIGPROF"),
    (Signal::IO, "SIGIO"),
    (Signal::SYS, "SIGSYS"),
    (Signal::TSTP, "SIGTSTP"),
];

/// The name of a signal, or its number where it has none.
pub(crate) fn name(number: i32) -> String {
    known(number).map_or_else(|| format!("signal {number}"), str::to_owned)
}

/// The signal a shell speaks of by an exit code of 128 and its number.
pub(crate) fn behind_exit_code(code: i32) -> Option<(i32, &'static str)> {
    let number = code - 128;
    known(number).map(|name| (number, name))
}

fn known(number: i32) -> Option<&'static str> {
    NAMES
        .iter()
        .find(|(signal, _)| signal.as_raw() == number)
        .map(|(_, name)| *name)
}
