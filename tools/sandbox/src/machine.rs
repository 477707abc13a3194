//! What this machine gives a sandbox, and what it does not: the report behind `pullwright doctor`.

mod facts;
mod finding;
mod folder;
mod judge;
mod programs;

use std::io;
use std::path::Path;

use serde::Serialize;

pub use finding::{Finding, State};
pub use folder::DataFolder;
pub use programs::Program;

use facts::Facts;

/// What can only be found out by trying, which the sandbox's launcher does.
#[derive(Clone, Copy, Default)]
pub struct Trials<'t> {
    /// Makes a process in a user namespace of its own and ends it.
    pub user_namespace: Option<&'t dyn Fn() -> io::Result<()>>,
    /// Asks the kernel which version of Landlock it has; `None` for no Landlock.
    pub landlock_abi: Option<&'t dyn Fn() -> Option<u32>>,
}

/// A machine as it was found.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The kernel and its version.
    pub kernel: String,
    /// What looks like a container around this process.
    pub container: Option<String>,
    /// The folder for runs.
    pub data_folder: DataFolder,
    /// The programs that are found, with their versions.
    pub programs: Vec<Program>,
    /// What all of it means for a run.
    pub findings: Vec<Finding>,
}

impl Machine {
    /// Looks at the machine. `data_dir` is the server's own folder, which must be there. Takes a few
    /// seconds at most.
    #[must_use]
    pub fn probe(data_dir: &Path, trials: &Trials<'_>) -> Self {
        let facts = Facts::read(Path::new("/"));
        let data_folder = DataFolder::probe(data_dir);
        let programs = programs::find();
        let mut findings = vec![
            judge::user_namespaces(&facts, trials.user_namespace),
            judge::landlock(&facts, trials.landlock_abi),
            judge::seccomp(&facts),
        ];
        findings.extend(judge::modules(&facts));
        findings.extend(limits(data_dir));
        findings.extend(data_folder.findings());
        findings.push(programs::judge_git(&programs));
        findings.push(programs::judge_others(&programs));
        Self {
            kernel: facts.kernel(),
            container: facts.container(),
            data_folder,
            programs,
            findings,
        }
    }
}

#[cfg(target_os = "linux")]
fn limits(data_dir: &Path) -> Vec<Finding> {
    use crate::cgroup::Cgroups;

    let groups = Cgroups::detect(&Cgroups::lock_folder(data_dir));
    let tried = groups.trial().map_err(|error| error.to_string());
    judge::limits(&groups.explain(), &tried)
}

#[cfg(not(target_os = "linux"))]
fn limits(_data_dir: &Path) -> Vec<Finding> {
    Vec::new()
}
