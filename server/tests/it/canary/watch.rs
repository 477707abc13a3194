//! Looks at the arguments and the environment of every process that another one starts, as long as they live.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::needle::Needle;
use crate::support::in_time;

/// A git call on loopback lives for several of these.
const PAUSE: Duration = Duration::from_millis(1);

/// A thread that looks until it is told to stop.
pub(super) struct Watch {
    is_over: Arc<AtomicBool>,
    found: tokio::sync::watch::Receiver<BTreeSet<String>>,
    seen: Arc<Mutex<BTreeSet<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// The root's own environment is not looked at: a variable that it was started with is there.
    pub(super) fn of_descendants(root: u32, needle: Needle) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let seen = Arc::new(Mutex::new(BTreeSet::new()));
        let (sender, found) = tokio::sync::watch::channel(BTreeSet::new());
        let (over, names) = (Arc::clone(&is_over), Arc::clone(&seen));
        let thread = std::thread::spawn(move || {
            let mut looked = HashSet::new();
            let mut own = Vec::new();
            while !over.load(Ordering::Relaxed) {
                // One that has just been started has none for a moment.
                if own.is_empty() {
                    own = std::fs::read(format!("/proc/{root}/cmdline")).unwrap();
                }
                let known = match own.is_empty() {
                    true => Vec::new(),
                    false => descendants(root),
                };
                for (process, program) in known {
                    names.lock().unwrap().insert(program.clone());
                    if let Some(what) = look(process, &own, &needle, &mut looked) {
                        sender.send_modify(|found| {
                            found.insert(format!("{what} of {program}"));
                        });
                    }
                }
                std::thread::sleep(PAUSE);
            }
        });
        Self {
            is_over,
            found,
            seen,
            thread: Some(thread),
        }
    }

    /// Waits until the needle was found in the arguments, or the environment, of some process.
    pub(super) async fn until_found_in(mut self, what: &str) {
        let is_there = |found: &BTreeSet<String>| found.iter().any(|place| place.starts_with(what));
        in_time(self.found.wait_for(is_there)).await.unwrap();
    }

    /// Where the needle was found, and the programs that were looked at.
    pub(super) fn stop(mut self) -> (BTreeSet<String>, BTreeSet<String>) {
        self.end();
        let seen = self.seen.lock().unwrap().clone();
        (self.found.borrow().clone(), seen)
    }

    fn end(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// The file of the process in which the needle is. A process may become another program at any time, so it is
/// looked at again until it has not changed.
fn look(
    process: u32,
    root: &[u8],
    needle: &Needle,
    looked: &mut HashSet<(u32, Vec<u8>)>,
) -> Option<&'static str> {
    let read = |file: &str| std::fs::read(format!("/proc/{process}/{file}")).unwrap_or_default();
    let arguments = read("cmdline");
    if needle.is_in(&arguments) {
        return Some("arguments");
    }
    // One with the arguments of the root is the root, or about to become another program.
    if arguments != root {
        let environment = read("environ");
        let whole = [arguments, environment].concat();
        if looked.insert((process, whole.clone())) && needle.is_in(&whole) {
            return Some("environment");
        }
    }
    None
}

/// The process and all that it and they have started, with the names of their programs.
fn descendants(root: u32) -> Vec<(u32, String)> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let known: HashMap<u32, (u32, String)> = ids
        .filter_map(|id| {
            let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
            let (head, rest) = stat.rsplit_once(')')?;
            let program = head.split_once('(')?.1.to_owned();
            let parent = rest.split_whitespace().nth(1)?.parse().ok()?;
            Some((id, (parent, program)))
        })
        .collect();
    let is_ours = |mut id: u32| {
        for _ in 0..64 {
            if id == root {
                return true;
            }
            match known.get(&id) {
                Some((parent, _)) => id = *parent,
                None => return false,
            }
        }
        false
    };
    let ours = known.iter().filter(|(id, _)| is_ours(**id));
    ours.map(|(id, (_, program))| (*id, program.clone()))
        .collect()
}
