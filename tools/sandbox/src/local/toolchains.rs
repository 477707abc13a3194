//! Which of the host's programs can be used inside.
//!
//! What lies under `/usr` is visible anyway. Beyond that, each folder of the server's `PATH` stands
//! for an installation: a compiler in `/opt`, a version manager in somebody's home. An installation
//! is shown whole, since its programs need its libraries; a folder that only holds programs, such
//! as `~/.cargo/bin`, is shown alone, since what lies beside it may be secret.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::plan::ReadOnly;

/// Where programs are, where the server has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Visible in every sandbox.
const SYSTEM: &[&str] = &["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64"];

/// Beside `bin`, these make an installation.
const PARTS_OF_AN_INSTALLATION: &[&str] = &["lib", "lib64", "libexec", "share"];

/// Folders of a home that hold programs beside everything else a person has.
const NEVER_WHOLE: &[&str] = &[".local", "."];

/// Folders of programs that only find and start the real ones, which are beside them.
const SHIMS: &str = "shims";

/// A store whose programs refer to each other by full path.
const STORES: &[&str] = &["/nix/store", "/gnu/store"];

const OTHERS_READ: u32 = 0o005;

/// What is known of the server's own surroundings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    pub(crate) path: Option<OsString>,
    pub(crate) home: Option<PathBuf>,
    pub(crate) rustup_home: Option<PathBuf>,
    /// Whether processes inside are another user than the server.
    pub(crate) other_user: bool,
}

/// The host's programs, as a sandbox has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Toolchains {
    /// The `PATH` inside.
    pub(crate) path: String,
    /// What must be shown for it.
    pub(crate) read_only: Vec<ReadOnly>,
    /// The variables that programs need to find their own parts.
    pub(crate) env: BTreeMap<String, String>,
    /// Folders of the server's `PATH` that the sandbox's user cannot read.
    pub(crate) unreadable: Vec<PathBuf>,
}

impl Surroundings {
    /// Those of this process.
    pub(crate) fn own() -> Self {
        let named = |name| std::env::var_os(name).map(PathBuf::from);
        Self {
            path: std::env::var_os("PATH"),
            home: named("HOME"),
            rustup_home: named("RUSTUP_HOME"),
            other_user: rustix::process::geteuid().is_root(),
        }
    }

    /// The home as it is named, and as it really is.
    fn homes(&self) -> Vec<PathBuf> {
        let named = self.home.iter().cloned();
        let real = self.home.iter().filter_map(|home| home.canonicalize().ok());
        named.chain(real).collect()
    }

    fn rustup_home(&self) -> Option<PathBuf> {
        let usual = || Some(self.home.as_ref()?.join(".rustup"));
        let folder = self.rustup_home.clone().or_else(usual)?;
        folder.is_dir().then_some(folder)
    }

    fn readable(&self, folder: &Path) -> bool {
        !self.other_user
            || folder
                .metadata()
                .is_ok_and(|found| found.mode() & OTHERS_READ == OTHERS_READ)
    }
}

impl Toolchains {
    /// The programs of `path` (from the configuration, first) and of the server's own `PATH`, with
    /// what is in `read_only` besides.
    pub(crate) fn find(path: &[PathBuf], read_only: &[PathBuf], host: &Surroundings) -> Self {
        let own = host.path.clone().unwrap_or_else(|| DEFAULT_PATH.into());
        let own: Vec<PathBuf> = std::env::split_paths(&own).collect();
        let mut found = Self::default();
        let mut shown: BTreeSet<PathBuf> = read_only.iter().cloned().collect();
        let mut folders = Vec::new();
        for folder in path.iter().chain(&own) {
            if !folder.is_absolute() || !folder.is_dir() || folders.contains(folder) {
                continue;
            }
            if !host.readable(folder) {
                found.unreadable.push(folder.clone());
                continue;
            }
            shown.extend(needed_for(folder, host));
            folders.push(folder.clone());
        }
        if let Some(rustup) = host.rustup_home().filter(|folder| host.readable(folder)) {
            let shown_path = rustup.to_string_lossy().into_owned();
            found.env.insert("RUSTUP_HOME".to_owned(), shown_path);
            shown.insert(rustup);
        }
        found.path = joined(&folders);
        found.read_only = without_nested(shown).into_iter().map(bind).collect();
        found
    }
}

/// What must be shown so that the programs of `folder` run.
fn needed_for(folder: &Path, host: &Surroundings) -> Vec<PathBuf> {
    let real = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let mut needed = vec![installation(folder, host)];
    if real != folder {
        needed.push(installation(&real, host));
    }
    let store = STORES.iter().find(|store| real.starts_with(store));
    needed.extend(store.map(PathBuf::from));
    needed.retain(|path| !is_system(path));
    needed
}

/// The installation whose programs are in `folder`, or just that folder.
fn installation(folder: &Path, host: &Surroundings) -> PathBuf {
    let Some(parent) = folder.parent().filter(|parent| *parent != Path::new("/")) else {
        return folder.to_owned();
    };
    let is_home = host.homes().iter().any(|home| {
        home.starts_with(parent) || NEVER_WHOLE.iter().any(|name| home.join(name) == parent)
    });
    let has_part = |name: &&str| parent.join(name).is_dir();
    let is_whole = folder.ends_with(SHIMS) || PARTS_OF_AN_INSTALLATION.iter().any(has_part);
    match is_whole && !is_home && host.readable(parent) {
        true => parent.to_owned(),
        false => folder.to_owned(),
    }
}

fn is_system(path: &Path) -> bool {
    SYSTEM.iter().any(|system| path.starts_with(system))
}

fn joined(folders: &[PathBuf]) -> String {
    let folders = folders.iter().map(|folder| folder.to_string_lossy());
    // A folder with a colon in its name cannot be in a PATH.
    let folders: Vec<_> = folders.filter(|folder| !folder.contains(':')).collect();
    folders.join(":")
}

/// A folder inside another one is shown with it.
fn without_nested(paths: BTreeSet<PathBuf>) -> Vec<PathBuf> {
    let mut kept: Vec<PathBuf> = Vec::new();
    for path in paths {
        if !kept.iter().any(|outer| path.starts_with(outer)) {
            kept.push(path);
        }
    }
    kept
}

fn bind(path: PathBuf) -> ReadOnly {
    ReadOnly {
        source: path.clone(),
        target: path,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    struct Host {
        root: tempfile::TempDir,
    }

    impl Host {
        fn new(folders: &[&str]) -> Self {
            let root = tempfile::tempdir().unwrap();
            for folder in folders {
                fs::create_dir_all(root.path().join(folder)).unwrap();
            }
            Self { root }
        }

        fn at(&self, path: &str) -> PathBuf {
            self.root.path().join(path)
        }

        fn surroundings(&self, path: &[&str]) -> Surroundings {
            let folders = path.iter().map(|folder| self.at(folder));
            Surroundings {
                path: Some(std::env::join_paths(folders).unwrap()),
                home: Some(self.at("home/me")),
                ..Surroundings::default()
            }
        }

        fn shown(&self, path: &[&str]) -> Vec<PathBuf> {
            let found = Toolchains::find(&[], &[], &self.surroundings(path));
            let sources = found.read_only.into_iter().map(|bind| bind.source);
            sources.collect()
        }
    }

    #[test]
    fn an_installation_is_shown_whole() {
        let host = Host::new(&[
            "opt/go/bin",
            "opt/go/lib",
            "home/me/.nvm/v20/bin",
            "home/me/.nvm/v20/lib",
        ]);
        let shown = host.shown(&["opt/go/bin", "home/me/.nvm/v20/bin"]);
        assert_eq!(shown, [host.at("home/me/.nvm/v20"), host.at("opt/go")]);
    }

    #[test]
    fn what_lies_beside_programs_in_a_home_is_not_shown() {
        let host = Host::new(&[
            "home/me/.cargo/bin",
            "home/me/.cargo/registry",
            "home/me/.local/bin",
            "home/me/.local/share/keyrings",
            "home/me/bin",
            "home/me/lib",
        ]);
        let path = ["home/me/.cargo/bin", "home/me/.local/bin", "home/me/bin"];
        let shown = host.shown(&path);
        assert_eq!(shown, path.map(|folder| host.at(folder)));
    }

    #[test]
    fn a_home_behind_a_link_is_a_home() {
        let host = Host::new(&[
            "real/me/.local/bin",
            "real/me/.local/share/keyrings",
            "home",
        ]);
        symlink(host.at("real/me"), host.at("home/me")).unwrap();
        let shown = host.shown(&["home/me/.local/bin"]);
        let expected = ["home/me/.local/bin", "real/me/.local/bin"];
        assert_eq!(shown, expected.map(|folder| host.at(folder)));
    }

    #[test]
    fn the_sources_beside_go_s_programs_are_not_shown() {
        let host = Host::new(&["home/me/go/bin", "home/me/go/pkg/mod", "home/me/go/src"]);
        assert_eq!(host.shown(&["home/me/go/bin"]), [host.at("home/me/go/bin")]);
    }

    #[test]
    fn shims_bring_what_they_start() {
        let host = Host::new(&["home/me/.pyenv/shims", "home/me/.pyenv/versions"]);
        assert_eq!(
            host.shown(&["home/me/.pyenv/shims"]),
            [host.at("home/me/.pyenv")]
        );
    }

    #[test]
    fn a_link_brings_both_ends() {
        let host = Host::new(&["opt/jdk-21/bin", "opt/jdk-21/lib", "links"]);
        symlink(host.at("opt/jdk-21/bin"), host.at("links/java")).unwrap();
        let shown = host.shown(&["links/java"]);
        assert_eq!(shown, [host.at("links/java"), host.at("opt/jdk-21")]);
    }

    #[test]
    fn what_another_user_cannot_read_is_left_out_and_said() {
        let host = Host::new(&["opt/a/bin", "opt/b/bin"]);
        fs::set_permissions(host.at("opt/a/bin"), fs::Permissions::from_mode(0o700)).unwrap();
        let surroundings = Surroundings {
            other_user: true,
            ..host.surroundings(&["opt/a/bin", "opt/b/bin"])
        };
        let found = Toolchains::find(&[], &[], &surroundings);
        assert_eq!(found.unreadable, [host.at("opt/a/bin")]);
        assert_eq!(found.path, host.at("opt/b/bin").to_string_lossy());
    }

    #[test]
    fn the_configuration_comes_first_and_relative_folders_do_not_count() {
        let host = Host::new(&["opt/a", "opt/b"]);
        let mut surroundings = host.surroundings(&["opt/a", "opt/missing"]);
        let path = surroundings.path.clone().unwrap_or_default();
        surroundings.path = Some([path, ":relative:".into()].into_iter().collect());
        let found = Toolchains::find(&[host.at("opt/b")], &[host.at("opt")], &surroundings);
        let expected = format!(
            "{}:{}",
            host.at("opt/b").display(),
            host.at("opt/a").display()
        );
        assert_eq!(found.path, expected);
        assert_eq!(found.read_only, [bind(host.at("opt"))]);
    }

    #[test]
    fn the_system_is_there_anyway() {
        let host = Surroundings {
            path: Some("/usr/bin:/bin".into()),
            ..Surroundings::default()
        };
        assert_eq!(Toolchains::find(&[], &[], &host).read_only, []);
    }
}
