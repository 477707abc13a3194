//! The kernel's limits, kept against real processes.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use pullwright_sandbox::cgroup::{Cgroup, CgroupLimits, Cgroups, Limit};
use tempfile::TempDir;

use crate::bench::{is_root, new_run, private_folder, runs};

/// Tells this executable to be the owner that is killed; its value is the folder of locks.
const BE_THE_OWNER: &str = "PULLWRIGHT_TEST_BE_THE_OWNER";

/// Nothing here takes long; what does hangs.
const LONGEST: Duration = Duration::from_secs(20);

const MB: u64 = 1 << 20;

struct Machine {
    locks: TempDir,
    groups: Cgroups,
}

impl Machine {
    /// With every limit, or a word that the test is skipped.
    fn with(limits: &[Limit]) -> Option<Self> {
        let locks = private_folder();
        let groups = Cgroups::detect(locks.path());
        for limit in limits {
            if !groups.holds().has(*limit) {
                eprintln!("SKIPPED: {:?}", groups.explain());
                return None;
            }
        }
        Some(Self { locks, groups })
    }

    fn group(&self, limits: CgroupLimits) -> Cgroup {
        self.groups.create(&new_run().0, &limits).unwrap()
    }

    fn lock_of(&self, name: &str) -> PathBuf {
        self.locks.path().join(name)
    }
}

/// A shell in a group, which has not begun yet.
struct Held(Child);

impl Held {
    fn new(group: &Cgroup, script: &str) -> Self {
        let child = Command::new("sh")
            .args(["-c", &format!("read -r _; {script}")])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        for file in group.procs_files() {
            fs::write(file, child.id().to_string()).unwrap();
        }
        Self(child)
    }

    fn go(&mut self) {
        writeln!(self.0.stdin.as_mut().unwrap()).unwrap();
    }

    fn wait(mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < LONGEST, "it hangs");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < LONGEST, "still not: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn folders(group: &Cgroup) -> Vec<PathBuf> {
    let files = group.procs_files();
    let folders = files.iter().map(|file| file.parent().unwrap().to_owned());
    folders.collect()
}

fn processes(group: &Cgroup) -> Vec<u32> {
    let text = group.procs_files().into_iter().map(fs::read_to_string);
    let text: String = text.map(Result::unwrap).collect();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

#[test]
fn a_memory_hog_is_stopped_and_said_to_be_one() {
    let Some(machine) = Machine::with(&[Limit::Memory]) else {
        return;
    };
    let group = machine.group(CgroupLimits {
        memory_bytes: Some(32 * MB),
        ..CgroupLimits::default()
    });
    assert_eq!(group.oom_kills(), Some(0));
    // It waits for the end of a line that never ends.
    let mut hog = Held::new(&group, "exec tail /dev/zero");
    hog.go();
    assert!(!hog.wait().success());
    assert!(group.oom_kills().unwrap() >= 1);
    let peak = group.memory_peak().unwrap();
    assert!((16 * MB..=33 * MB).contains(&peak), "{peak}");
    group.remove().unwrap();
}

#[test]
fn memory_is_that_of_all_processes_together_and_of_files_in_it() {
    let Some(machine) = Machine::with(&[Limit::Memory]) else {
        return;
    };
    let in_memory = Path::new("/dev/shm");
    if !in_memory.is_dir() {
        eprintln!("SKIPPED: there is no /dev/shm to fill");
        return;
    }
    let folder = tempfile::tempdir_in(in_memory).unwrap();
    let group = machine.group(CgroupLimits {
        memory_bytes: Some(32 * MB),
        ..CgroupLimits::default()
    });
    let script = format!(
        "for i in 1 2 3 4 5 6 7 8; do head -c 8388608 /dev/zero > {}/$i || exit 1; done",
        folder.path().display()
    );
    let mut filler = Held::new(&group, &script);
    filler.go();
    assert!(!filler.wait().success());
    assert!(group.oom_kills().unwrap() >= 1);
    group.remove().unwrap();
}

#[test]
fn a_fork_bomb_is_stopped_and_killed_to_the_last() {
    let Some(machine) = Machine::with(&[Limit::Processes]) else {
        return;
    };
    let group = machine.group(CgroupLimits {
        processes: Some(24),
        ..CgroupLimits::default()
    });
    // Those that could fork stay, or the bomb would burn out by itself.
    let mut bomb = Held::new(&group, "f() { f & f & exec sleep 1000; }; f");
    bomb.go();
    wait_until("a fork was refused", || group.refused_forks() > Some(0));
    let found = processes(&group);
    assert!(!found.is_empty());
    group.kill().unwrap();
    assert_eq!(processes(&group), [0_u32; 0]);
    assert!(!bomb.wait().success());
    wait_until("all are gone", || !found.iter().any(|pid| runs(*pid)));
    group.remove().unwrap();
}

#[test]
fn a_chain_of_processes_that_follow_each_other_is_killed() {
    let Some(machine) = Machine::with(&[Limit::Processes]) else {
        return;
    };
    let group = machine.group(CgroupLimits {
        processes: Some(1000),
        ..CgroupLimits::default()
    });
    // Each starts its successor and ends, faster than a list of processes can be read.
    let mut chain = Held::new(&group, "f() { f & exit; }; f & wait");
    chain.go();
    group.kill().unwrap();
    assert_eq!(processes(&group), [0_u32; 0]);
    chain.wait();
    group.remove().unwrap();
}

#[test]
fn processor_time_is_limited() {
    let Some(machine) = Machine::with(&[Limit::Cpu]) else {
        return;
    };
    let group = machine.group(CgroupLimits {
        cpus: Some(0.1),
        ..CgroupLimits::default()
    });
    let mut busy = Held::new(&group, "while :; do :; done");
    busy.go();
    let stats: Vec<_> = folders(&group)
        .iter()
        .map(|folder| folder.join("cpu.stat"))
        .collect();
    wait_until("it was held back", || {
        let texts = stats
            .iter()
            .filter_map(|file| fs::read_to_string(file).ok());
        let mut lines =
            texts.flat_map(|text| text.lines().map(ToOwned::to_owned).collect::<Vec<_>>());
        lines.any(|line| line.starts_with("nr_throttled ") && line != "nr_throttled 0")
    });
    group.remove().unwrap();
    assert!(!busy.wait().success());
}

#[test]
fn removing_leaves_neither_process_nor_folder_nor_lock() {
    let Some(machine) = Machine::with(&[Limit::Memory]) else {
        return;
    };
    let name = new_run().0;
    let group = machine
        .groups
        .create(&name, &CgroupLimits::default())
        .unwrap();
    assert!(machine.lock_of(&name).exists());
    let folders = folders(&group);
    let sleeper = Held::new(&group, "exec sleep 1000");
    group.remove().unwrap();
    assert!(!folders.iter().any(|folder| folder.exists()));
    assert!(!machine.lock_of(&name).exists());
    assert!(!sleeper.wait().success());
}

#[test]
fn dropping_removes_too() {
    let Some(machine) = Machine::with(&[Limit::Memory]) else {
        return;
    };
    let group = machine.group(CgroupLimits::default());
    let folders = folders(&group);
    let sleeper = Held::new(&group, "exec sleep 1000");
    drop(group);
    assert!(!folders.iter().any(|folder| folder.exists()));
    assert!(!sleeper.wait().success());
}

#[test]
fn a_group_has_one_owner() {
    let Some(machine) = Machine::with(&[Limit::Memory]) else {
        return;
    };
    let name = new_run().0;
    let limits = CgroupLimits::default();
    let group = machine.groups.create(&name, &limits).unwrap();
    let mut sleeper = Held::new(&group, "exec sleep 1000");
    let second = machine.groups.create(&name, &limits).unwrap_err();
    let told = second.to_string();
    assert!(told.contains("another process has it"), "{told}");

    let swept = machine.groups.sweep();
    assert_eq!((swept.removed, swept.owned), (0, 1), "{swept:?}");
    assert!(sleeper.0.try_wait().unwrap().is_none());
    group.remove().unwrap();
}

#[test]
fn many_are_made_and_removed_at_once_while_others_sweep() {
    let Some(machine) = Machine::with(&[Limit::Memory]) else {
        return;
    };
    let makers_left = AtomicU32::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    machine.group(CgroupLimits::default()).remove().unwrap();
                }
                makers_left.fetch_sub(1, Ordering::Relaxed);
            });
        }
        scope.spawn(|| {
            let start = Instant::now();
            while makers_left.load(Ordering::Relaxed) > 0 && start.elapsed() < LONGEST {
                // A lock that is there and not yet locked is taken for one that was left.
                let swept = machine.groups.sweep();
                assert!(swept.failed.is_empty(), "{swept:?}");
            }
        });
    });
    assert_eq!(fs::read_dir(machine.locks.path()).unwrap().count(), 0);
}

#[test]
fn a_sweep_that_looks_at_a_lock_just_made_is_waited_for() {
    let Some(machine) = Machine::with(&[Limit::Memory]) else {
        return;
    };
    let name = new_run().0;
    let path = machine.lock_of(&name);
    // What a sweep does with the lock of a group that has no folder yet.
    let swept = fs::File::create(&path).unwrap();
    swept.lock().unwrap();
    std::thread::scope(|scope| {
        let made = scope.spawn(|| machine.groups.create(&name, &CgroupLimits::default()));
        wait_until("it has found the lock taken", || descriptors(&path) > 1);
        fs::remove_file(&path).unwrap();
        drop(swept);
        made.join().unwrap().unwrap().remove().unwrap();
    });
}

/// How many descriptors of this process are of the file at `path`.
fn descriptors(path: &Path) -> usize {
    let entries = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let is_it = |file: PathBuf| fs::read_link(file).is_ok_and(|found| found == path);
    entries.filter(|entry| is_it(entry.path())).count()
}

#[test]
fn what_a_killed_owner_left_is_swept() {
    let Some(machine) = Machine::with(&[Limit::Memory]) else {
        return;
    };
    let ours = machine.group(CgroupLimits::default());
    let mut alive = Held::new(&ours, "exec sleep 1000");
    let left = Owner::start(machine.locks.path()).kill();
    assert!(runs(left.pid), "it should outlive its owner");
    assert!(left.folders.iter().all(|folder| folder.exists()));

    let swept = machine.groups.sweep();
    assert_eq!((swept.removed, swept.owned), (1, 1), "{swept:?}");
    assert!(!left.folders.iter().any(|folder| folder.exists()));
    wait_until("its process is gone", || !runs(left.pid));
    assert!(alive.0.try_wait().unwrap().is_none());
    ours.remove().unwrap();
    assert_eq!(fs::read_dir(machine.locks.path()).unwrap().count(), 0);
}

#[test]
fn a_run_that_goes_on_replaces_what_its_killed_owner_left() {
    let Some(machine) = Machine::with(&[Limit::Memory]) else {
        return;
    };
    let left = Owner::start(machine.locks.path()).kill();
    let group = machine
        .groups
        .create(&left.name, &CgroupLimits::default())
        .unwrap();
    assert_eq!(processes(&group), [0_u32; 0]);
    wait_until("its process is gone", || !runs(left.pid));
    group.remove().unwrap();
}

#[test]
fn a_damaged_record_kills_and_removes_nothing() {
    let Some(machine) = Machine::with(&[Limit::Memory]) else {
        return;
    };
    let victim = tempfile::tempdir().unwrap();
    let folder = victim.path().join("pullwright/pullwright-x");
    fs::create_dir_all(&folder).unwrap();
    for record in [
        victim.path().display().to_string(),
        format!("{}/../pullwright-x", folder.display()),
        "pullwright/pullwright-x".to_owned(),
        "/\u{fffd}".to_owned(),
    ] {
        fs::write(machine.lock_of("broken"), record).unwrap();
        let swept = machine.groups.sweep();
        assert_eq!((swept.removed, swept.failed.len()), (0, 1), "{swept:?}");
        assert!(victim.path().is_dir() && folder.is_dir());
    }
}

#[test]
fn a_folder_of_locks_that_others_may_write_is_not_believed() {
    use std::os::unix::fs::PermissionsExt as _;

    let locks = private_folder();
    fs::set_permissions(locks.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let groups = Cgroups::detect(locks.path());
    let swept = groups.sweep();
    assert_eq!(swept.failed.len(), 1);
    if is_root() && groups.holds().memory {
        let refused = groups.create("x", &CgroupLimits::default()).unwrap_err();
        let told = refused.to_string();
        assert!(told.contains("open to other users"), "{told}");
    }
}

#[test]
fn a_strange_name_is_refused() {
    let groups = Cgroups::detect(Path::new("/nonexistent"));
    for name in ["", "..", "a/b", "a b", "é", &"x".repeat(200)] {
        let refused = groups.create(name, &CgroupLimits::default()).unwrap_err();
        let told = refused.to_string();
        assert!(told.contains("letters, digits"), "{told}");
    }
}

#[test]
fn what_is_detected_is_what_holds() {
    let locks = private_folder();
    let groups = Cgroups::detect(locks.path());
    assert_eq!(groups.trial().unwrap(), groups.holds());
}

#[test]
fn where_nothing_is_available_it_is_said_and_a_group_is_empty() {
    let locks = private_folder();
    let groups = Cgroups::detect(locks.path());
    for explained in groups.explain() {
        assert!(!explained.detail.is_empty(), "{explained:?}");
    }
    let holds = groups.holds();
    if Limit::ALL.iter().any(|limit| holds.has(*limit)) {
        eprintln!("SKIPPED: this machine has {holds:?}");
        return;
    }
    let group = groups.create("x", &CgroupLimits::default()).unwrap();
    assert!(group.procs_files().is_empty());
    assert_eq!((group.memory_peak(), group.oom_kills()), (None, None));
    group.kill().unwrap();
    group.remove().unwrap();
    assert_eq!(fs::read_dir(locks.path()).unwrap().count(), 0);
}

/// Another process that owns a group.
struct Owner {
    process: Child,
    left: Left,
}

/// What an owner says that it has.
struct Left {
    name: String,
    pid: u32,
    folders: Vec<PathBuf>,
}

impl Owner {
    fn start(locks: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "cgroup::the_owner",
                "--nocapture",
                "--include-ignored",
            ])
            .env(BE_THE_OWNER, locks)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut lines = lines.map(Result::unwrap);
        let owned = lines.find_map(|line| line.strip_prefix("owns ").map(ToOwned::to_owned));
        let owned = owned.unwrap();
        let mut words = owned.split(' ');
        let left = Left {
            name: words.next().unwrap().to_owned(),
            pid: words.next().unwrap().parse().unwrap(),
            folders: words.map(PathBuf::from).collect(),
        };
        Self { process, left }
    }

    fn kill(mut self) -> Left {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.left
    }
}

#[test]
#[ignore = "it is the owner that another test kills"]
fn the_owner() {
    let Some(locks) = std::env::var_os(BE_THE_OWNER) else {
        return;
    };
    let groups = Cgroups::detect(Path::new(&locks));
    let name = new_run().0;
    let group = groups.create(&name, &CgroupLimits::default()).unwrap();
    let mut sleeper = Held::new(&group, "exec sleep 1000");
    sleeper.go();
    let folders = folders(&group);
    let folders: Vec<_> = folders
        .iter()
        .map(|folder| folder.display().to_string())
        .collect();
    println!("owns {name} {} {}", sleeper.0.id(), folders.join(" "));
    std::io::stdin()
        .lock()
        .read_line(&mut String::new())
        .unwrap();
}
