//! The programs and features of the machine that cases need.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use pullwright_sandbox::cgroup::Cgroups;

use super::case::{Case, Who};
use super::{bait, user};
use crate::sandbox::bench::is_root;

/// The system's programs. A version manager's shims would only make each case slower.
const SYSTEM: [&str; 5] = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"];

/// What ours is compared with.
pub(super) const BUBBLEWRAP: &str = "bwrap";

/// The `PATH` of every case: the system's folders and that of cargo.
pub(super) fn path() -> OsString {
    let own = std::env::var_os("PATH").unwrap_or_default();
    let cargo = std::env::split_paths(&own).find(|folder| folder.join("cargo").is_file());
    let folders = SYSTEM.into_iter().map(PathBuf::from).chain(cargo);
    std::env::join_paths(folders).unwrap()
}

pub(super) fn has(program: &str) -> bool {
    std::env::split_paths(&path()).any(|folder| folder.join(program).is_file())
}

/// Whether a case is for this user.
pub(super) fn applies(case: &Case) -> bool {
    case.only.is_none_or(|who| (who == Who::Root) == is_root())
}

/// Why a case says nothing here, if it does not.
pub(super) enum Missing {
    /// A program, which continuous integration must have.
    Program(String),
    /// Something that not every machine has.
    Feature(String),
}

pub(super) fn missing(case: &Case) -> Option<Missing> {
    let needs = case.needs.iter().map(|need| match feature(need) {
        Some(true) => None,
        Some(false) => Some(Missing::Feature(format!("this machine has no {need}"))),
        None => (!has(need)).then(|| Missing::Program(format!("there is no {need}"))),
    });
    let without_address = case.run.contains("@lan") && bait::own_address().is_none();
    let address = without_address.then(|| "the machine has no address in a network".to_owned());
    needs.flatten().next().or(address.map(Missing::Feature))
}

/// Says if there is nothing to compare with. In continuous integration that fails.
pub(super) fn comparison_missing() -> Option<String> {
    if has(BUBBLEWRAP) {
        return None;
    }
    let why = "the comparison with bubblewrap: there is no bwrap; install Debian's bubblewrap";
    eprintln!("SKIPPED: {why}");
    must_be_there().then(|| why.to_owned())
}

/// Whether a missing program is a failure. What root has in its home, others cannot use.
pub(super) fn must_be_there() -> bool {
    std::env::var("PULLWRIGHT_REQUIRE_PEERS").as_deref() == Ok("1") && !user::is_second_run()
}

/// Whether this machine has it, if it is no program.
fn feature(need: &str) -> Option<bool> {
    let groups = || Cgroups::detect(Path::new("/nowhere")).holds();
    match need {
        "x86_64" => Some(cfg!(target_arch = "x86_64")),
        "ipv6" => Some(std::net::TcpListener::bind("[::1]:0").is_ok()),
        "memory_group" => Some(groups().memory),
        "cpu_group" => Some(groups().cpu),
        path if path.starts_with('/') => Some(Path::new(path).exists()),
        _ => None,
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Program(why) | Self::Feature(why)) = self;
        f.write_str(why)
    }
}
