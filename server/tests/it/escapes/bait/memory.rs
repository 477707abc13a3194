//! What the host shares in memory. Each of them takes a program to make, so only a case that names
//! one gets it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::escapes::stage::open_to;

#[derive(Default)]
pub(super) struct Memory {
    secret: String,
    /// A file that everybody may change, in the host's shared memory.
    shared: Option<PathBuf>,
    /// The number of a segment of System V.
    segment: Option<String>,
    /// The name of a queue of POSIX.
    queue: Option<String>,
    /// The number of a key in this user's ring.
    key: Option<String>,
}

impl Memory {
    pub(super) fn lay(stage: &Path, secret: &str, wanted: &dyn Fn(&str) -> bool) -> Self {
        let name = stage.file_name().unwrap().to_string_lossy().into_owned();
        Self {
            secret: secret.to_owned(),
            shared: wanted("shm").then(|| {
                let path = Path::new("/dev/shm").join(&name);
                fs::write(&path, secret).unwrap();
                open_to(&path, 0o666);
                path
            }),
            segment: wanted("shmid").then(|| {
                let said = output("ipcmk", &["-M", "4096", "-p", "0666"]);
                said.rsplit(' ').next().unwrap().trim().to_owned()
            }),
            queue: wanted("mq").then(|| {
                let queue = format!("/{name}");
                queue_of(&queue, "os.O_CREAT | os.O_RDWR");
                queue
            }),
            key: wanted("key").then(|| {
                let key = output("keyctl", &["add", "user", &name, secret, "@u"]);
                output("keyctl", &["setperm", key.trim(), "0x3f3f3f3f"]);
                key.trim().to_owned()
            }),
        }
    }

    pub(super) fn names(&self) -> BTreeMap<&'static str, String> {
        let shared = self.shared.as_ref().map(|path| path.display().to_string());
        let all = [
            ("shm", shared),
            ("shmid", self.segment.clone()),
            ("mq", self.queue.clone()),
            ("key", self.key.clone()),
        ];
        all.into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }

    pub(super) fn disturbed(&self) -> Option<String> {
        let shared = self
            .shared
            .iter()
            .find(|path| fs::read_to_string(path).ok().as_deref() != Some(&*self.secret));
        if let Some(shared) = shared {
            return Some(format!("{} was changed", shared.display()));
        }
        if let Some(segment) = &self.segment {
            let all = fs::read_to_string("/proc/sysvipc/shm").unwrap();
            let row = all
                .lines()
                .find(|row| row.split_whitespace().nth(1) == Some(segment));
            let users = row.and_then(|row| row.split_whitespace().nth(6));
            if users != Some("0") {
                return Some(format!(
                    "the shared memory {segment} was removed or is used"
                ));
            }
        }
        let queue = self
            .queue
            .as_ref()
            .filter(|queue| !queue_of(queue, "os.O_RDWR"));
        queue.map(|queue| format!("the message queue {queue} was removed"))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Some(path) = &self.shared {
            let _ = fs::remove_file(path);
        }
        if let Some(segment) = &self.segment {
            let _ = Command::new("ipcrm").args(["-m", segment]).output();
        }
        if let Some(queue) = &self.queue {
            python(&format!("libc.mq_unlink(b'{queue}')"));
        }
        if let Some(key) = &self.key {
            let _ = Command::new("keyctl").args(["unlink", key, "@u"]).output();
        }
    }
}

/// Opens a queue, and says whether that is possible.
fn queue_of(name: &str, flags: &str) -> bool {
    python(&format!(
        "sys.exit(libc.mq_open(b'{name}', {flags}, 0o666, None) < 0)"
    ))
}

fn python(line: &str) -> bool {
    let script = format!("import ctypes, os, sys; libc = ctypes.CDLL(None); {line}");
    let ended = Command::new("python3").args(["-c", &script]).output();
    ended.is_ok_and(|ended| ended.status.success())
}

fn output(program: &str, arguments: &[&str]) -> String {
    let ran = Command::new(program).args(arguments).output().unwrap();
    assert!(
        ran.status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&ran.stderr)
    );
    String::from_utf8(ran.stdout).unwrap()
}
