//! The one binary: the server, the command line and the tool host.

use std::process::ExitCode;

fn main() -> ExitCode {
    pullwright::cli::run()
}
