//! What the server wants of a sandbox.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use serde::{Deserialize, Serialize};

/// Where the workspace is inside.
pub const WORKSPACE: &str = "/workspace";
/// Where the home folder is inside.
pub const HOME: &str = "/home/pullwright";
/// The user and the group inside. Not 0, so that tar, npm, postgres and tests behave as they do
/// for an ordinary user.
pub const USER_ID: u32 = 1000;

/// More than any list of toolchains needs; the launcher reads no endless plan.
const MAX_PLAN_BYTES: u64 = 1024 * 1024;

/// What the server wants of a sandbox. Every path is absolute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The host's folder that is [`WORKSPACE`] inside, owned by `user`.
    pub workspace: PathBuf,
    /// The host's folder that is [`HOME`] inside, owned by `user`.
    pub home: PathBuf,
    /// What else is visible.
    pub read_only: Vec<ReadOnly>,
    /// The host's user and group that the sandbox's user is, where the server is root. Without it,
    /// the server's own user.
    pub user: Option<u32>,
    /// The files into which the number of process 1 is written before it does anything.
    pub cgroup_procs: Vec<PathBuf>,
    /// How much may be used.
    pub limits: Limits,
    /// The host name inside.
    pub hostname: String,
    /// The port of 127.0.0.1 inside whose listener the server gets, for the proxy.
    pub proxy_port: Option<u16>,
}

/// A file or folder of the host that can be read inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadOnly {
    /// Where it is on the host. It must exist.
    pub source: PathBuf,
    /// Where it is inside. Below `/usr` and other folders that are the host's, it must be there
    /// already.
    pub target: PathBuf,
}

/// How much may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// `/tmp`, which is in memory.
    pub tmp_bytes: u64,
    /// `/dev/shm`, which is in memory.
    pub shm_bytes: u64,
    /// Processes and threads together.
    pub processes: u64,
    /// Open files of a process.
    pub open_files: u64,
    /// The size of a file.
    pub file_bytes: u64,
    /// The disk of workspace and home together.
    pub disk_bytes: u64,
    /// The data of a process, where no cgroup holds the memory of all.
    pub memory_bytes: Option<u64>,
}

impl Plan {
    /// The plan as a file in memory that nobody can change.
    pub(super) fn to_file(&self) -> io::Result<OwnedFd> {
        let bytes = serde_json::to_vec(self)?;
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let mut file = File::from(memfd_create("plan", flags)?);
        file.write_all(&bytes)?;
        file.rewind()?;
        let sealed = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
        fcntl_add_seals(&file, sealed)?;
        Ok(file.into())
    }

    pub(super) fn from_file(file: &OwnedFd) -> io::Result<Self> {
        let mut bytes = Vec::new();
        File::from(file.try_clone()?)
            .take(MAX_PLAN_BYTES)
            .read_to_end(&mut bytes)?;
        Ok(serde_json::from_slice(&bytes)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        let tool = ReadOnly {
            source: "/opt/tool".into(),
            target: "/opt/tool".into(),
        };
        Plan {
            workspace: "/w".into(),
            home: "/h".into(),
            read_only: vec![tool],
            user: Some(400_000),
            cgroup_procs: vec!["/sys/fs/cgroup/x/cgroup.procs".into()],
            limits: Limits {
                tmp_bytes: 1,
                shm_bytes: 2,
                processes: 3,
                open_files: 4,
                file_bytes: 5,
                disk_bytes: 6,
                memory_bytes: None,
            },
            hostname: "run".to_owned(),
            proxy_port: Some(3128),
        }
    }

    #[test]
    fn a_plan_arrives_as_it_was() {
        let file = plan().to_file().unwrap();
        assert_eq!(Plan::from_file(&file).unwrap(), plan());
    }

    #[test]
    fn a_plan_on_its_way_cannot_be_changed() {
        let mut file = File::from(plan().to_file().unwrap());
        assert!(file.write_all(b"x").is_err());
    }

    #[test]
    fn a_plan_longer_than_one_message_arrives() {
        let mut long = plan();
        long.read_only = vec![long.read_only[0].clone(); 5000];
        let file = long.to_file().unwrap();
        assert_eq!(Plan::from_file(&file).unwrap(), long);
    }
}
