//! The last steps before a program is started.

use std::collections::BTreeMap;
use std::ffi::{CString, c_char};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Component, Path};

use rustix::process::{
    Resource, Rlimit, Signal, chdir, getrlimit, set_parent_process_death_signal, setrlimit, setsid,
};

use super::{Inside, landlock};
use crate::local::descriptors::{close_on_exec, replace_standard};
use crate::local::plan::Limits;
use crate::local::signals::unblock_all;
use crate::local::wire::Spawn;

/// Why a program was not started.
pub(super) struct Refusal {
    pub(super) why: String,
    pub(super) errno: i32,
}

impl Refusal {
    /// What a pipe takes in one piece.
    pub(super) const MAX_BYTES: usize = 4096;

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.errno.to_ne_bytes().to_vec();
        bytes.extend(self.why.bytes());
        bytes.truncate(Self::MAX_BYTES);
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        let (errno, why) = bytes.split_first_chunk().unwrap_or((&[0; 4], bytes));
        Self {
            why: String::from_utf8_lossy(why).into_owned(),
            errno: i32::from_ne_bytes(*errno),
        }
    }
}

/// Becomes the program, and returns only if that fails.
pub(super) fn start(inside: &Inside, spawn: &Spawn, descriptors: &[OwnedFd]) -> Refusal {
    match become_program(inside, spawn, descriptors) {
        Ok(never) => match never {},
        Err(refusal) => refusal,
    }
}

enum Never {}

fn become_program(
    inside: &Inside,
    spawn: &Spawn,
    descriptors: &[OwnedFd],
) -> Result<Never, Refusal> {
    let program = Program::parse(spawn)?;
    let [stdin, stdout, stderr] = descriptors else {
        return Err(refusal(
            "it came without its three descriptors",
            libc::EBADF,
        ));
    };
    enter(&spawn.cwd)?;
    let standard = [stdin, stdout, stderr].map(|descriptor| descriptor.as_raw_fd());
    let prepare = || {
        setsid()?;
        set_parent_process_death_signal(Some(Signal::KILL))?;
        replace_standard(standard)?;
        close_on_exec()?;
        limit(&inside.limits)?;
        inside.rules.as_ref().map_or(Ok(()), landlock::obey)
    };
    prepare().map_err(|error: io::Error| because("it cannot be confined", &error))?;
    unblock_all();
    let error = program.execute();
    Err(because(&program.not_started(&error), &error))
}

fn enter(cwd: &Path) -> Result<(), Refusal> {
    let clean = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    if !cwd.is_absolute() || !cwd.components().all(clean) {
        let why = format!("its folder {} is not a clean absolute path", cwd.display());
        return Err(refusal(&why, libc::EINVAL));
    }
    let entered = chdir(cwd).map_err(io::Error::from);
    entered.map_err(|error| {
        because(
            &format!("its folder {} cannot be entered", cwd.display()),
            &error,
        )
    })
}

/// Never more than this process may have itself.
fn limit(limits: &Limits) -> io::Result<()> {
    let wanted = [
        (Resource::Nproc, Some(limits.processes)),
        (Resource::Nofile, Some(limits.open_files)),
        (Resource::Fsize, Some(limits.file_bytes)),
        (Resource::Data, limits.memory_bytes),
    ];
    for (resource, wanted) in wanted {
        let Some(wanted) = wanted else { continue };
        let most = getrlimit(resource).maximum.unwrap_or(u64::MAX);
        let limit = Some(wanted.min(most));
        setrlimit(
            resource,
            Rlimit {
                current: limit,
                maximum: limit,
            },
        )?;
    }
    Ok(())
}

/// A program with its arguments and its environment, as the kernel takes them.
struct Program {
    /// Where it may be, in the order in which it is looked for.
    candidates: Vec<CString>,
    argv: Vec<CString>,
    env: Vec<CString>,
    name: String,
}

impl Program {
    fn parse(spawn: &Spawn) -> Result<Self, Refusal> {
        let nul = |_| {
            refusal(
                "a NUL byte is in its arguments or its environment",
                libc::EINVAL,
            )
        };
        let name = match spawn.argv.first() {
            Some(name) if !name.is_empty() => name.clone(),
            _ => return Err(refusal("it has no name", libc::EINVAL)),
        };
        let candidates = candidates(&name, &spawn.env);
        let argv = spawn.argv.iter().map(|word| CString::new(word.as_str()));
        Ok(Self {
            candidates: candidates.collect::<Result<_, _>>().map_err(nul)?,
            argv: argv.collect::<Result<_, _>>().map_err(nul)?,
            env: environment(&spawn.env)?,
            name,
        })
    }

    /// Tries each candidate, and returns the error that says most.
    fn execute(&self) -> io::Error {
        let (argv, env) = (pointers(&self.argv), pointers(&self.env));
        let mut error = io::Error::from_raw_os_error(libc::ENOENT);
        for candidate in &self.candidates {
            let failed = execve(candidate, &argv, &env);
            match failed.raw_os_error() {
                Some(libc::ENOENT | libc::ENOTDIR) => {}
                // Another folder may have one that may be started.
                Some(libc::EACCES) => error = failed,
                _ => return failed,
            }
        }
        error
    }

    fn not_started(&self, error: &io::Error) -> String {
        let name = &self.name;
        match error.raw_os_error() {
            Some(libc::ENOENT) if name.contains('/') => {
                format!("there is no {name}, or not what runs it")
            }
            Some(libc::ENOENT) => "there is no such program in the sandbox's PATH".to_owned(),
            _ => "the kernel does not start it".to_owned(),
        }
    }
}

/// A name with a slash is a path, any other is looked for in `PATH`.
fn candidates(
    name: &str,
    env: &BTreeMap<String, String>,
) -> impl Iterator<Item = Result<CString, std::ffi::NulError>> {
    let search = match name.contains('/') {
        true => "",
        false => env.get("PATH").map_or("", String::as_str),
    };
    let itself = name.contains('/').then(|| CString::new(name));
    let folders = search.split(':').filter(|folder| !folder.is_empty());
    let found = folders.map(move |folder| CString::new(format!("{folder}/{name}")));
    itself.into_iter().chain(found)
}

fn environment(env: &BTreeMap<String, String>) -> Result<Vec<CString>, Refusal> {
    let entry = |(name, value): (&String, &String)| match name.is_empty() || name.contains('=') {
        true => None,
        false => CString::new(format!("{name}={value}")).ok(),
    };
    let entries: Option<_> = env.iter().map(entry).collect();
    entries.ok_or_else(|| refusal("its environment cannot be written down", libc::EINVAL))
}

/// A list that ends as C expects.
fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    let mut pointers: Vec<_> = strings.iter().map(|string| string.as_ptr()).collect();
    pointers.push(std::ptr::null());
    pointers
}

#[expect(unsafe_code, reason = "no crate here offers execve")]
fn execve(path: &CString, argv: &[*const c_char], env: &[*const c_char]) -> io::Error {
    // SAFETY: both lists end with a null pointer and point to C strings that outlive the call.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

fn refusal(why: &str, errno: i32) -> Refusal {
    Refusal {
        why: why.to_owned(),
        errno,
    }
}

fn because(why: &str, error: &io::Error) -> Refusal {
    refusal(why, error.raw_os_error().unwrap_or(0))
}
