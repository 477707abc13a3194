//! `pullwright demo`: the main job without any account.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use pullwright_core::config::{Config, SandboxKind};
use pullwright_core::sandbox::SandboxHost;
use pullwright_protocol::{Outcome, RunRequest};

use super::workbench::start_and_show;
use super::{complain, say};
use crate::compose::{self, Executor, Setting};
use crate::metrics::Metrics;
use crate::traces::Traces;

/// The project the demo works on: path, content, and whether it is a program.
const PROJECT: &[(&str, &str, bool)] = &[
    (
        "tally",
        include_str!("../../../examples/demo/project/tally"),
        true,
    ),
    (
        "lib/words.sh",
        include_str!("../../../examples/demo/project/lib/words.sh"),
        false,
    ),
    (
        "tests/run.sh",
        include_str!("../../../examples/demo/project/tests/run.sh"),
        false,
    ),
    (
        "README.md",
        include_str!("../../../examples/demo/project/README.md"),
        false,
    ),
    (
        "AGENTS.md",
        include_str!("../../../examples/demo/project/AGENTS.md"),
        false,
    ),
];

const SCRIPT: &str = include_str!("../../../examples/demo/script.toml");
const CONFIG: &str = include_str!("../../../examples/demo/plugins.toml");

const PROMPT: &str = "Add an option --top N that prints the N most frequent words with their \
                      counts. Cover it with tests and document it.";

#[derive(Args)]
pub(super) struct Demo {
    /// Print the frames as JSON, one a line.
    #[arg(long)]
    json: bool,
}

impl Demo {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        // The sandbox's users must be able to pass through, though not to look around.
        let folder = tempfile::Builder::new()
            .prefix("pullwright-demo-")
            .permissions(Permissions::from_mode(0o711))
            .tempdir();
        let folder = folder.context("cannot make a temporary folder")?;
        let folder = folder.path().canonicalize().map(|path| (path, folder))?;
        let (path, _keep) = &folder;
        let remote = make_remote(path)?;
        let mut config = write_config(path)?;
        let data_dir = path.join("data");
        pullwright_sandbox::harden_server()?;
        let sandboxes = open_sandbox(&mut config, &data_dir).await?;
        let setting = Setting {
            data_dir,
            database: None,
            allow_local_paths: true,
            metrics: Metrics::default(),
            traces: Traces::default(),
            config_file: None,
            accounts: Default::default(),
        };
        let executor = Executor::new(compose::parts(config, sandboxes, &setting).await?);
        if !self.json {
            say(&format!("$ pullwright code {remote} \"{PROMPT}\"\n"));
        }
        let outcome = start_and_show(executor, request(&remote), self.json).await?;
        if outcome != Outcome::BranchOnly {
            bail!("the demo ended as `{outcome}` and not as `branch only`");
        }
        if !self.json {
            say(&format!(
                "\nThe pushed branch against main:\n\n{}",
                pushed_diff(&remote)?
            ));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The demo's model is our own script, so the demo alone may go on without isolation, once it has
/// said what was refused and why.
async fn open_sandbox(
    config: &mut Config,
    data_dir: &Path,
) -> anyhow::Result<Arc<dyn SandboxHost>> {
    let refusal = match compose::sandbox_host(config, data_dir).await {
        Ok(host) => return Ok(host),
        Err(refusal) => refusal,
    };
    complain(&format!(
        "{refusal:#}\nThe demo's model is a script that comes with Pullwright, so the demo goes on \
         with kind = \"none\".\n"
    ));
    config.sandbox.kind = SandboxKind::None;
    compose::sandbox_host(config, data_dir).await
}

fn request(remote: &str) -> RunRequest {
    RunRequest::new(remote, PROMPT)
}

fn write_config(folder: &Path) -> anyhow::Result<Config> {
    for (name, content) in [("script.toml", SCRIPT), ("plugins.toml", CONFIG)] {
        let path = folder.join(name);
        std::fs::write(&path, content)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(Config::load(&folder.join("plugins.toml"))?)
}

/// A bare repository on disk that holds the project as its first commit.
fn make_remote(folder: &Path) -> anyhow::Result<String> {
    let (project, remote) = (folder.join("project"), folder.join("tally.git"));
    for (name, content, program) in PROJECT {
        write_project_file(&project.join(name), content, *program)?;
    }
    git(&project, &["init", "--quiet", "--initial-branch=main"])?;
    git(&project, &["add", "--all"])?;
    git(&project, &["commit", "--quiet", "--message", "Count words"])?;
    let remote = remote
        .to_str()
        .context("the temporary folder's path is not UTF-8")?;
    git(folder, &["clone", "--quiet", "--bare", "project", remote])?;
    Ok(remote.to_owned())
}

fn write_project_file(path: &Path, content: &str, program: bool) -> anyhow::Result<()> {
    let folder = path.parent().context("a project file has a folder")?;
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(path, content))
        .with_context(|| format!("cannot write {}", path.display()))?;
    if program {
        let mode = Permissions::from_mode(0o755);
        std::fs::set_permissions(path, mode)
            .with_context(|| format!("cannot make {} a program", path.display()))?;
    }
    Ok(())
}

fn pushed_diff(remote: &str) -> anyhow::Result<String> {
    let remote = Path::new(remote);
    let branches = git(
        remote,
        &[
            "for-each-ref",
            "--format=%(refname:short)",
            "refs/heads/pullwright",
        ],
    )?;
    let branch = branches
        .lines()
        .next()
        .context("no branch was pushed")?
        .to_owned();
    git(remote, &["diff", &format!("main..{branch}")])
}

/// Runs git on the demo's own folders, with none of the user's configuration: a `GIT_DIR` that is
/// set, as in a git hook, would lead it into a repository of the user's.
fn git(folder: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .envs([
            ("GIT_AUTHOR_NAME", "Demo"),
            ("GIT_AUTHOR_EMAIL", "demo@example.com"),
            ("GIT_COMMITTER_NAME", "Demo"),
            ("GIT_COMMITTER_EMAIL", "demo@example.com"),
        ])
        .output()
        .context("cannot start git; install it and see that it is in PATH")?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("git {} failed: {}", arguments.join(" "), complaint.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
