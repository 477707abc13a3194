//! The one binary: the server, the command line and the tool host.

use std::process::ExitCode;

fn main() -> ExitCode {
    // The sandbox's launcher is this executable. It forks, so it must be the only thread.
    #[cfg(target_os = "linux")]
    if is_launcher() {
        return pullwright_sandbox::local::launcher_main();
    }
    pullwright::cli::run()
}

#[cfg(target_os = "linux")]
fn is_launcher() -> bool {
    let argument = std::env::args_os().nth(1);
    argument.is_some_and(|argument| argument == pullwright_sandbox::local::LAUNCHER_ARGUMENT)
}
