//! A Postgres server of the tests' own: on a socket in a temporary folder, as a user who is not root.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::sql;

const CONFIGURATION: &str = "
listen_addresses = ''
max_connections = 1000
shared_buffers = 32MB
";

/// Faster, and good for all but the machine's own end.
const NOT_DURABLE: &str = "
fsync = off
full_page_writes = off
";

/// Ends the server and removes its files once the tests are gone, however they end.
const GUARD: &str =
    "read -r _; \"$1/pg_ctl\" -D data stop -m immediate >/dev/null 2>&1; rm -rf \"$2\"";

/// A server. It ends with its value.
pub(crate) struct Server {
    programs: PathBuf,
    folder: PathBuf,
    user: Option<u32>,
    databases: AtomicUsize,
    _guard: Child,
}

impl Server {
    /// The server that most tests share, each with databases of its own.
    pub(super) fn shared(what: &str) -> Option<&'static Self> {
        static SHARED: OnceLock<Server> = OnceLock::new();
        let programs = programs(what)?;
        Some(SHARED.get_or_init(|| Self::start(programs, NOT_DURABLE)))
    }

    /// A server for a test that breaks it.
    pub(super) fn own(what: &str) -> Option<Self> {
        Some(Self::start(programs(what)?, ""))
    }

    fn start(programs: PathBuf, configuration: &str) -> Self {
        let user = rustix::process::geteuid().is_root().then(unprivileged);
        let folder = tempfile::tempdir().expect("a folder").keep();
        chown(&folder, user, user).expect("chown");
        let mut guard = as_user(Command::new("sh"), user);
        guard.args(["-c", GUARD, "sh"]).arg(&programs).arg(&folder);
        guard.current_dir(&folder).stdin(Stdio::piped());
        let server = Self {
            user,
            databases: AtomicUsize::new(0),
            _guard: guard.spawn().expect("sh"),
            programs,
            folder,
        };
        server.initialise();
        let folder = server.folder.display();
        let socket = format!("unix_socket_directories = '{folder}'\n");
        server.configure(&[CONFIGURATION, configuration, &socket].concat());
        server.control(&["start"]);
        server
    }

    fn initialise(&self) {
        let arguments = "-D data -U tests -A trust -E UTF8 --no-locale --no-sync";
        self.program("initdb", &arguments.split(' ').collect::<Vec<_>>());
    }

    /// Adds lines to its configuration, which count from its next start on.
    pub(super) fn configure(&self, lines: &str) {
        let file = self.folder.join("data/postgresql.conf");
        let before = fs::read_to_string(&file).expect("the configuration");
        fs::write(file, before + lines).expect("write");
    }

    /// Gives it a file that nobody else may read.
    pub(super) fn give(&self, name: &str, content: &str) -> PathBuf {
        let file = self.folder.join(name);
        fs::write(&file, content).expect("write");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("chmod");
        chown(&file, self.user, self.user).expect("chown");
        file
    }

    /// Lets `pg_ctl` start, stop or restart the server, and waits until it has.
    pub(super) fn control(&self, task: &[&str]) {
        let fixed = ["-D", "data", "-l", "log", "-w", "-t", "60", "-s"];
        self.program("pg_ctl", &[task, &fixed].concat());
    }

    /// The URL of a database.
    pub(super) fn url(&self, database: &str) -> String {
        url(&self.folder, database)
    }

    /// The folder with the server's socket.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes a database, and answers its URL.
    pub(crate) async fn database(&self) -> String {
        let name = format!("d{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let create = format!("CREATE DATABASE {name}");
        sql::run(&self.url("postgres"), &create).await;
        self.url(&name)
    }

    fn program(&self, name: &str, arguments: &[&str]) {
        let mut command = as_user(Command::new(self.programs.join(name)), self.user);
        command
            .args(arguments)
            .current_dir(&self.folder)
            .stdin(Stdio::null());
        // A server that pg_ctl starts keeps a pipe open; a file it may keep.
        let said = self.folder.join(format!("{name}.out"));
        let file = fs::File::create(&said).expect("a file");
        command
            .stderr(file.try_clone().expect("a file"))
            .stdout(file);
        let ended = command.status().expect("a program of Postgres");
        let said = fs::read_to_string(said).unwrap_or_default();
        assert!(ended.success(), "{name} {arguments:?}: {said}");
    }
}

/// The URL of a database whose server has its socket in `folder`.
pub(super) fn url(folder: &Path, database: &str) -> String {
    format!(
        "postgres:///{database}?host={}&user=tests",
        folder.display()
    )
}

/// The name of the database that such a URL names.
pub(super) fn database_of(url: &str) -> &str {
    let (_, rest) = url.split_once("///").expect("a URL");
    rest.split_once('?').expect("a URL").0
}

/// The folder with the server's programs, unless `what` is to be skipped. With
/// `PULLWRIGHT_REQUIRE_PEERS=1` a test without Postgres fails instead.
fn programs(what: &str) -> Option<PathBuf> {
    let found = candidates().into_iter().find(|folder| {
        let here = |program: &str| folder.join(program).is_file();
        ["initdb", "pg_ctl", "postgres"].into_iter().all(here)
    });
    if found.is_none() {
        let remedy = "there is no Postgres server here; install the package `postgresql`";
        assert!(
            std::env::var("PULLWRIGHT_REQUIRE_PEERS").as_deref() != Ok("1"),
            "{what}: {remedy}"
        );
        eprintln!("SKIPPED: {what}: {remedy}");
    }
    found
}

/// Debian keeps the server's programs out of the search path, a folder for each version.
fn candidates() -> Vec<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut debian: Vec<PathBuf> = versions
        .flatten()
        .map(|version| version.path().join("bin"))
        .collect();
    debian.sort();
    debian.reverse();
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain(debian).collect()
}

/// Postgres refuses to run as root. Its own user is there where its package is installed.
fn unprivileged() -> u32 {
    let users = fs::read_to_string("/etc/passwd").expect("the users");
    let id = |name: &str| {
        let user = users
            .lines()
            .find(|line| line.starts_with(&format!("{name}:")))?;
        user.split(':').nth(2)?.parse().ok()
    };
    id("postgres").or_else(|| id("nobody")).expect("a user")
}

fn as_user(mut command: Command, user: Option<u32>) -> Command {
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    command.env("LC_ALL", "C");
    command
}
