//! `plugins.toml`: what is accepted, and what each mistake is told.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking too")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use pullwright_core::config::{
    AppConfig, AppKey, CloneMode, Config, ConfigError, ForgeWaits, ModalConfig, MovedBase, Notable,
    PolicyConfig, ProviderLink, Runs, SandboxKind, ToolConfig, ToolLink, Verified,
};
use pullwright_protocol::Publish;

const MINIMAL: &str = "
[agent]
provider = 'mine'
[providers.mine]
command = './mine'
";

/// Each `NNN_name.toml` is refused with the message in `NNN_name.err`. A new case is a new pair;
/// `UPDATE_FIXTURES=1` writes the messages, to be read before they are kept.
#[test]
fn each_mistake_is_told() {
    let mut wrong = Vec::new();
    let cases = fixtures();
    assert!(cases.len() >= 50, "only {} cases were found", cases.len());
    for case in cases {
        let text = fs::read_to_string(&case).unwrap();
        let told = match parse(&text) {
            Ok(_) => "accepted".to_owned(),
            Err(error) => error.to_string(),
        };
        let expected = case.with_extension("err");
        if std::env::var_os("UPDATE_FIXTURES").is_some() {
            fs::write(&expected, format!("{told}\n")).unwrap();
        }
        let expected = fs::read_to_string(&expected).unwrap_or_default();
        if told != expected.trim_end() {
            wrong.push(format!(
                "{}\n  told:     {told}\n  expected: {expected}",
                case.display()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_message_shows_a_secret() {
    for case in fixtures() {
        let text = fs::read_to_string(&case).unwrap();
        if let Err(error) = parse(&text) {
            assert!(!error.to_string().contains("abcdef@"), "{error}");
            assert!(!error.to_string().contains("sk-abcdef"), "{error}");
        }
    }
}

#[test]
fn the_documented_example_is_accepted() {
    let config = parse(EXAMPLE).unwrap();
    assert_eq!(config.agent.provider, "anthropic");
    assert_eq!(config.agent.fallback, ["mine"]);
    assert_eq!(config.setup.run, Some(vec!["npm ci".to_owned()]));
    assert_eq!(config.setup.allow, ["registry.example.com"]);
    assert_eq!(config.sandbox.kind, SandboxKind::Local);
    assert_eq!(config.sandbox.network.allow, ["api.example.com"]);
    assert_eq!(
        config.providers["anthropic"].model.as_deref(),
        Some("claude-opus-5-5")
    );

    let docs = &config.tools["docs"];
    assert_eq!(docs.runs, Runs::Host);
    assert_eq!(docs.startup_timeout, Duration::from_secs(30));
    assert_eq!(docs.tool_timeout, Duration::from_secs(60));
    assert_eq!(docs.enabled_tools, Some(vec!["search".to_owned()]));
    assert_eq!(config.tools["fs"].link, ToolLink::Builtin("fs".to_owned()));
    assert_eq!(config.tools["fs"].runs, Runs::Sandbox);
    assert_eq!(config.tools["github"].runs, Runs::Host);
    assert_eq!(config.tools["github"].env_vars, ["GITHUB_TOKEN"]);
}

#[test]
fn what_is_absent_has_a_finite_default() {
    let config = parse(MINIMAL).unwrap();
    assert_eq!(config.budget.max_usd, Some(10.0));
    assert_eq!(config.budget.max_tokens, None);
    assert_eq!(config.budget.max_turns, 200);
    assert!((config.budget.max_minutes - 60.0).abs() < f64::EPSILON);
    assert_eq!(config.repositories.hosts, ["github.com"]);
    assert_eq!(config.checks.run, None);
    assert_eq!(config.checks.max_repairs, 2);
    assert_eq!(config.sandbox.kind, SandboxKind::Local);
    assert!(config.sandbox.network.allow.is_empty());
    assert!(config.tools.is_empty());
}

#[test]
fn an_empty_list_of_commands_is_not_an_absent_one() {
    let config = with("[checks]\nrun = []");
    assert_eq!(config.checks.run, Some(Vec::new()));
}

#[test]
fn runs_are_kept_for_a_month_unless_told_otherwise() {
    let days = |text: &str| with(text).server.keep_runs_days;
    assert_eq!(days(""), Some(30));
    assert_eq!(days("[server]\nkeep_runs_days = 7"), Some(7));
    assert_eq!(days("[server]\nkeep_runs_days = 'none'"), None);
    let archive = with("[server]\narchive_dir = 'old'").server.archive_dir;
    assert!(archive.unwrap().ends_with("old"));
}

#[test]
fn a_budget_in_dollars_is_dropped_only_by_name() {
    assert_eq!(with("[budget]\nmax_usd = 'none'").budget.max_usd, None);
    assert_eq!(with("[budget]\nmax_usd = 3").budget.max_usd, Some(3.0));
    assert_eq!(with("[budget]\nmax_usd = 0.5").budget.max_usd, Some(0.5));
}

#[test]
fn paths_are_relative_to_the_file() {
    let config = with(&format!(
        "[tools.words]\nlibrary = './lib.so'\nsha256 = '{}'",
        "AB".repeat(32)
    ));
    let ProviderLink::Command { command, .. } = &config.providers["mine"].link else {
        panic!("not a command");
    };
    assert_eq!(command, "conf/mine");
    let pinned = ToolLink::Library {
        library: PathBuf::from("conf/lib.so"),
        sha256: "ab".repeat(32),
    };
    assert_eq!(config.tools["words"].link, pinned);
    assert_eq!(program(&tool("command = 'npx'")), "npx");
    assert_eq!(program(&tool("command = '/bin/x'")), "/bin/x");
    assert_eq!(
        with("[server]\ndata_dir = 'data'").server.data_dir,
        Some("conf/data".into())
    );
}

#[test]
fn the_queue_and_the_shutdown_have_limits() {
    let server = with("").server;
    assert_eq!(
        (server.max_concurrent_runs, server.max_queued_runs),
        (8, 100)
    );
    assert_eq!(server.max_queue, Duration::from_secs(60 * 60));
    assert_eq!(server.shutdown_grace, Duration::from_secs(30));
    assert_eq!(server.max_runs_per_key, None);
    assert_eq!(server.max_runs_per_repository, None);
    let server = with(
        "[server]\nmax_queued_runs = 0\nmax_queue_minutes = 5\nmax_runs_per_key = 2\n\
         max_runs_per_repository = 1\nshutdown_grace_sec = 0",
    )
    .server;
    assert_eq!(server.max_queued_runs, 0);
    assert_eq!(server.max_queue, Duration::from_secs(5 * 60));
    assert_eq!(server.shutdown_grace, Duration::ZERO);
    assert_eq!(server.max_runs_per_key, Some(2));
    assert_eq!(server.max_runs_per_repository, Some(1));
}

#[test]
fn each_link_has_its_default_side() {
    assert_eq!(tool("command = 'npx'").runs, Runs::Sandbox);
    assert_eq!(tool("url = 'https://example.com/mcp'").runs, Runs::Host);
    assert_eq!(tool("builtin = 'git'").runs, Runs::Sandbox);
    assert!(tool("builtin = 'git'").required);
    assert!(!tool("command = 'npx'").required);
}

#[test]
fn a_server_behind_an_address_has_headers() {
    let row = tool(
        "url = 'https://example.com/mcp'\nbearer_token_env_var = 'DOCS_TOKEN'\n\
         http_headers = { X-Team = 'docs' }\nenv_http_headers = { X-Api-Key = 'DOCS_KEY' }",
    );
    let pairs = |name: &str, value: &str| [(name.to_owned(), value.to_owned())].into();
    let link = ToolLink::Url {
        url: "https://example.com/mcp".to_owned(),
        bearer_token_env_var: Some("DOCS_TOKEN".to_owned()),
        http_headers: pairs("X-Team", "docs"),
        env_http_headers: pairs("X-Api-Key", "DOCS_KEY"),
    };
    assert_eq!((row.link, row.runs), (link, Runs::Host));
}

#[test]
fn github_may_be_worked_on_as_an_app() {
    let app = |row: &str| tool(&format!("builtin = 'github'\nruns = 'host'\n{row}")).app;
    assert_eq!(app("env_vars = ['GITHUB_TOKEN']"), None);
    let by_variable = app("app_id = 123456\napp_key_env = 'APP_KEY'").unwrap();
    let expected = AppConfig {
        id: "123456".to_owned(),
        key: AppKey::Variable("APP_KEY".to_owned()),
        workflows: false,
        talks: false,
    };
    assert_eq!(by_variable, expected);
    assert_eq!(by_variable.variable().unwrap(), "APP_KEY");
    let by_file = app("app_id = 'Iv23abc'\napp_key_file = 'app.pem'\napp_workflows = true");
    let expected = AppConfig {
        id: "Iv23abc".to_owned(),
        key: AppKey::File("conf/app.pem".into()),
        workflows: true,
        talks: false,
    };
    assert_eq!(by_file, Some(expected));
}

#[test]
fn a_forge_is_bound_to_its_hosts_however_it_is_reached() {
    let hash = "0".repeat(64);
    let links = [
        "builtin = 'github'\nruns = 'host'\nbase_url = 'http://127.0.0.1:3000/api'".to_owned(),
        "command = './forge'\nruns = 'host'".to_owned(),
        "url = 'https://forge.example.com/mcp'".to_owned(),
        format!("library = './forge.so'\nsha256 = '{hash}'"),
    ];
    for link in links {
        let row = tool(&format!("{link}\nhosts = ['Git.Example.com:443']"));
        assert_eq!(row.hosts, ["git.example.com"], "{link}");
        assert!(row.required, "{link}");
    }
    let optional = tool("url = 'https://f.example/mcp'\nhosts = ['a.example']\nrequired = false");
    assert!(!optional.required);
    for own in ["", "base_url = 'https://api.github.com/'"] {
        let row = tool(&format!("builtin = 'github'\nruns = 'host'\n{own}"));
        assert_eq!(row.hosts, ["github.com"]);
    }
    let row = tool("command = './no-forge'\nruns = 'host'");
    assert!(row.hosts.is_empty() && !row.required);
}

#[test]
fn github_is_waited_for_as_long_as_the_row_says() {
    let waits = |row: &str| tool(&format!("builtin = 'github'\nruns = 'host'\n{row}")).waits;
    assert_eq!(waits(""), ForgeWaits::default());
    let said = waits("request_timeout_sec = 5\nlongest_wait_sec = 0.5");
    assert_eq!(said.request, Some(Duration::from_secs(5)));
    assert_eq!(said.limit, Some(Duration::from_millis(500)));
    assert_eq!(with("").budget.max_parked_minutes, 360.0);
    assert_eq!(
        with("[budget]\nmax_parked_minutes = 0")
            .budget
            .max_parked_minutes,
        0.0
    );
}

#[test]
fn a_credential_is_bound_to_one_origin() {
    let config = with(
        "[credentials.office]\norigin = 'https://Git.example.com:443/'\nusername = 'git'\npassword_env = 'OFFICE'\n\
         [credentials.lab]\norigin = 'http://127.0.0.1:3000'\nusername = 'ci'\npassword_env = 'LAB'",
    );
    let origin = |row: &str| &*config.credentials[row].origin;
    assert_eq!(origin("office"), "https://git.example.com");
    assert_eq!(origin("lab"), "http://127.0.0.1:3000");
    let office = &config.credentials["office"];
    assert_eq!(
        (&*office.username, &*office.password_env),
        ("git", "OFFICE")
    );
}

#[test]
fn hosts_may_have_a_port() {
    let config = with(
        "[repositories]\nhosts = ['SSH.example.com', 'ssh://GitHub.com', 'ssh://git.example.com:2222', 'GitHub.com', '127.0.0.1:3000', '[::1]:80', 'git.example.com']",
    );
    let hosts = [
        "ssh.example.com",
        "ssh://github.com",
        "ssh://git.example.com:2222",
        "github.com",
        "127.0.0.1:3000",
        "[::1]:80",
        "git.example.com",
    ];
    assert_eq!(config.repositories.hosts, hosts);
}

#[test]
fn a_command_sandbox_has_a_command() {
    let config =
        with("[sandbox]\nkind = 'command'\ncommand = ['./engine', '{workspace}:/w', '{x}']");
    let command = config.sandbox.command.unwrap();
    assert_eq!(command.argv, ["conf/engine", "{workspace}:/w", "{x}"]);
    assert!(command.uses("workspace") && !command.uses("run"));
    assert_eq!(command.startup_timeout, Duration::from_secs(120));
    assert!(command.env_vars.is_empty());
    let limited =
        "[sandbox]\nkind = 'command'\ncommand = ['docker', '-m{memory_mb}m']\nmemory_mb = 512";
    assert_eq!(with(limited).sandbox.memory_mb, 512);
    assert_eq!(with("[sandbox]\nkind = 'none'").sandbox.command, None);
}

#[test]
fn the_example_sandboxes_are_accepted() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/sandboxes");
    for (name, program, shares) in [
        ("docker", "docker", true),
        ("podman", "podman", true),
        ("kubectl", "kubectl", false),
        ("ssh", "ssh", false),
    ] {
        let config = Config::load(&folder.join(format!("{name}.toml"))).unwrap();
        let command = config.sandbox.command.unwrap();
        assert_eq!(command.argv[0], program);
        assert_eq!(command.uses("workspace"), shares, "{name}");
        let words = command.argv.join(" ");
        assert!(words.contains("pullwright tool-host spawner"), "{words}");
    }
}

#[test]
fn a_file_is_loaded_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plugins.toml");
    fs::write(&path, MINIMAL).unwrap();
    assert_eq!(Config::load(&path).unwrap().agent.provider, "mine");

    fs::write(&path, "agent = 1").unwrap();
    let error = Config::load(&path).unwrap_err();
    assert_eq!(error.origin, path);
    assert_eq!(error.line, Some(1));
    assert_eq!(error.key.as_deref(), Some("agent"));
}

#[test]
fn what_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none.toml");
    let told = Config::load(&missing).unwrap_err().to_string();
    assert!(
        told.contains("none.toml: cannot read the configuration: No such file"),
        "{told}"
    );

    let binary = folder.path().join("binary.toml");
    fs::write(&binary, [0xff, 0xfe, 0]).unwrap();
    let told = Config::load(&binary).unwrap_err().to_string();
    assert!(told.contains("UTF-8"), "{told}");

    let long = folder.path().join("long.toml");
    fs::write(&long, "#".repeat((1 << 20) + 1)).unwrap();
    let told = Config::load(&long).unwrap_err().to_string();
    assert!(told.contains("longer than 1048576 bytes"), "{told}");
}

#[test]
fn the_shipped_file_is_accepted() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins.toml");
    let config = Config::load(&path).unwrap();
    let rows: Vec<_> = config.tools.keys().collect();
    assert_eq!(rows, ["bash", "fs", "git", "github"]);
    assert_eq!(config.agent.provider, "anthropic");
}

proptest! {
    #[test]
    fn junk_is_refused_without_a_panic(text in "\\PC{0,200}") {
        prop_assert!(parse(&text).is_err());
    }

    #[test]
    fn a_damaged_file_never_panics(at in 0..EXAMPLE.len(), cut in 0..40_usize, put in "[\\PC\n\"\\[\\]={}]{0,6}") {
        let mut bytes = EXAMPLE.as_bytes().to_vec();
        let end = (at + cut).min(bytes.len());
        bytes.splice(at..end, put.bytes());
        // Whether it is still right is not the question here; that it is answered is.
        if let Err(error) = parse(&String::from_utf8_lossy(&bytes)) {
            prop_assert!(!error.message.is_empty());
        }
    }
}

#[test]
fn deep_nesting_is_refused_without_a_crash() {
    let deep = format!("agent = {}", "[".repeat(200_000));
    assert!(parse(&deep).is_err());
    let wide = format!("{} = 1", "a.".repeat(100_000) + "a");
    assert!(parse(&wide).is_err());
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("conf/plugins.toml"))
}

fn with(more: &str) -> Config {
    parse(&format!("{MINIMAL}{more}\n")).unwrap()
}

fn tool(row: &str) -> ToolConfig {
    with(&format!("[tools.it]\n{row}")).tools["it"].clone()
}

fn program(tool: &ToolConfig) -> &str {
    match &tool.link {
        ToolLink::Command { command, .. } => command,
        other => panic!("not a command: {other:?}"),
    }
}

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/config");
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut cases: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .collect();
    cases.sort();
    cases
}

const EXAMPLE: &str = r#"
[agent]
provider = "anthropic"
fallback = ["mine"]

[budget]
max_usd = 10.0
max_turns = 200
max_minutes = 60

[repositories]
hosts = ["github.com"]

[setup]
run = ["npm ci"]
allow = ["registry.example.com"]

[checks]
run = ["npm test"]

[providers.anthropic]
wire_api = "anthropic_messages"
base_url = "https://api.anthropic.com"
env_key  = "ANTHROPIC_API_KEY"
model    = "claude-opus-5-5"

[providers.mine]
command = "./my-provider"

[tools.fs]
builtin = "fs"
[tools.bash]
builtin = "bash"
[tools.git]
builtin = "git"
[tools.github]
builtin = "github"
runs = "host"
env_vars = ["GITHUB_TOKEN"]

[tools.docs]
command = "npx"
args = ["-y", "some-mcp-server"]
runs = "host"
startup_timeout_sec = 30
tool_timeout_sec = 60
enabled_tools = ["search"]
required = false

[tools.words]
library = "./libwords.so"
sha256 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

[sandbox]
kind = "local"
memory_mb = 4096
[sandbox.network]
allow = ["api.example.com"]
"#;

#[test]
fn each_family_edits_in_its_own_way() {
    use pullwright_core::config::EditTool;
    for model in [
        "gpt-6.2-sol",
        "openai/gpt-5.5",
        "gpt-oss-120b",
        "codex-mini",
    ] {
        assert_eq!(EditTool::for_model(model), EditTool::ApplyPatch, "{model}");
    }
    for model in ["claude-opus-5-5", "gpt-4o", "deepseek-v4-pro", "qwen3:4b"] {
        assert_eq!(EditTool::for_model(model), EditTool::StrReplace, "{model}");
    }
}

#[test]
fn every_key_of_a_sandbox_at_modal_counts() {
    let config = parse(&format!(
        "{MINIMAL}\n[sandbox]\nkind = 'modal'\n[sandbox.modal]\nimage = 'rust:1'\n\
         dockerfile = ['RUN true']\napp = 'mine'\ntool_host = 'host'\nregions = ['eu']\ncpus = 1.5\n\
         warm_start_days = 1\nopen_network = true\ntimeout_min = 90\nidle_timeout_min = 7\n\
         startup_timeout_sec = 5\n"
    ));
    let modal = config.unwrap().sandbox.modal.unwrap();
    let expected = ModalConfig {
        image: "rust:1".to_owned(),
        dockerfile: vec!["RUN true".to_owned()],
        app: "mine".to_owned(),
        tool_host: modal.tool_host.clone(),
        regions: vec!["eu".to_owned()],
        cpus: Some(1.5),
        warm_start: Duration::from_secs(24 * 3600),
        open_network: true,
        timeout: Duration::from_secs(90 * 60),
        idle_timeout: Duration::from_secs(7 * 60),
        startup_timeout: Duration::from_secs(5),
    };
    assert_eq!(modal, expected);
    assert!(modal.tool_host.unwrap().ends_with("host"));
}

#[test]
fn who_may_call_is_said_under_server() {
    let access = with(
        "[server]
require_keys = true
requests_per_minute = 60
request_burst = 5
failed_auth_per_minute = 3
trusted_proxies = ['10.0.0.0/8', '::1']
allowed_origins = ['https://app.example.com', 'http://localhost:5173']
allowed_hosts = ['Pullwright.example.com']",
    )
    .server
    .access;
    assert!(access.require_keys);
    let counts = [
        access.requests_per_minute,
        access.request_burst,
        access.failed_auth_per_minute,
    ];
    assert_eq!(counts.map(u32::from), [60, 5, 3]);
    let proxies: Vec<String> = access
        .trusted_proxies
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(proxies, ["10.0.0.0/8", "::1/128"]);
    let origins = ["https://app.example.com", "http://localhost:5173"];
    assert_eq!(access.allowed_origins, origins);
    assert_eq!(access.allowed_hosts, ["pullwright.example.com"]);
    let absent = parse(MINIMAL).unwrap().server.access;
    assert!(!absent.require_keys && absent.allowed_origins.is_empty());
    assert!(
        absent.trusted_proxies.is_empty(),
        "nobody's word is taken for an address"
    );
    assert!(
        absent.requests_per_minute.get() < 10_000,
        "a finite default"
    );
}

#[test]
fn how_repositories_are_cloned_is_said() {
    for mode in CloneMode::ALL {
        let written = format!("[repositories]\nclone = '{}'", mode.as_str());
        assert_eq!(with(&written).repositories.clone, mode);
    }
    assert_eq!(parse(MINIMAL).unwrap().repositories.clone, CloneMode::Full);
}

#[test]
fn how_changes_are_published_is_said() {
    let config = with(
        "[repositories]
publish = 'fork'
moved_base = 'merge'
[commit]
name = 'A Robot'
email = 'robot@example.com'
co_authors = ['Ann Other <ann@example.com>']
verified = 'when_possible'
[pull_request]
draft = true
labels = ['good first issue']
reviewers = ['ann']
team_reviewers = ['core']
assignees = ['bob-1']
[server]
public_url = 'https://pullwright.example.com/'",
    );
    assert_eq!(config.repositories.publish, Publish::Fork);
    assert_eq!(config.repositories.moved_base, MovedBase::Merge);
    let (commit, pull_request) = (config.commit, config.pull_request);
    assert_eq!(
        (commit.name.as_str(), commit.email.as_str()),
        ("A Robot", "robot@example.com")
    );
    assert_eq!(commit.co_authors, ["Ann Other <ann@example.com>"]);
    assert_eq!(commit.verified, Verified::WhenPossible);
    assert!(pull_request.draft);
    assert_eq!(pull_request.labels, ["good first issue"]);
    let people = [
        pull_request.reviewers,
        pull_request.team_reviewers,
        pull_request.assignees,
    ];
    assert_eq!(people, [["ann"], ["core"], ["bob-1"]]);
    let url = config.server.public_url;
    assert_eq!(url.as_deref(), Some("https://pullwright.example.com"));
    let absent = parse(MINIMAL).unwrap();
    assert_eq!(absent.commit.verified, Verified::Off);
    assert_eq!(absent.repositories.publish, Publish::Auto);
    assert_eq!(absent.repositories.moved_base, MovedBase::Rebase);
    assert!(!absent.pull_request.draft && absent.server.public_url.is_none());
}

#[test]
fn what_cannot_be_published_so_is_refused() {
    for (section, expected) in [
        ("[repositories]\npublish = 'forks'", "did you mean `fork`?"),
        ("[repositories]\nmoved_base = 'squash'", "is not known"),
        (
            "[repositories]\nclone = 'shalow'",
            "did you mean `shallow`?",
        ),
        ("[repositories]\nclone = 1", "clone"),
        ("[commit]\nname = 'A <Robot>'", "it is not a name"),
        ("[commit]\nemail = 'robot'", "not an email address"),
        ("[commit]\nverified = 'allways'", "did you mean `always`?"),
        (
            "[repositories]\nmoved_base = 'merge'\n[commit]\nverified = 'always'",
            "commits with one parent",
        ),
        (
            "[commit]\nco_authors = ['Ann']",
            "`Ann` is not `Name <mail>`",
        ),
        (
            "[commit]\nco_authors = [\"Ann <a@b>\\nFixes: x\"]",
            "is not `Name <mail>`",
        ),
        ("[pull_request]\nlabels = ['']", "is not a label"),
        (
            "[pull_request]\nreviewers = ['org/team']",
            "is not the name of an account",
        ),
        (
            "[pull_request]\nassignees = ['ann', 'Ann']",
            "is there twice",
        ),
        (
            "[server]\npublic_url = 'https://me@p.example'",
            "not an address",
        ),
        ("[server]\npublic_url = 'ftp://p.example'", "not an address"),
    ] {
        let error = parse(&format!("{MINIMAL}\n{section}\n"))
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{section}: {error}");
    }
    let many: Vec<String> = (0..16).map(|number| format!("'l{number}'")).collect();
    let many = format!(
        "{MINIMAL}\n[pull_request]\nlabels = [{}]\n",
        many.join(", ")
    );
    assert!(parse(&many).unwrap_err().to_string().contains("at most 15"));
}

#[test]
fn a_change_may_hold_what_most_changes_hold() {
    let policy = with("").policy;
    assert_eq!(policy, PolicyConfig::default());
    assert_eq!(policy.max_file_mb, 90);
    let text = "[policy]\nprotected = ['CODEOWNERS']\nallow = ['.github/**']\nmax_files = 7\nbinary = 'refuse'\n\
                noise = 'allow'";
    let policy = with(text).policy;
    assert_eq!(policy.protected, ["CODEOWNERS"]);
    assert_eq!(policy.allow, [".github/**"]);
    assert_eq!(policy.max_files, 7);
    assert_eq!(policy.binary, Notable::Refuse);
    assert_eq!(policy.noise, Notable::Allow);
}

#[test]
fn the_variables_that_hold_secrets_are_known() {
    let text = "[providers.a]\nwire_api = 'openai_chat'\nenv_key = 'A_VALUE'\nenv_http_headers = { X-Team = 'TEAM' }\n\
        [providers.b]\ncommand = 'b'\nenv_vars = ['B_TOKEN', 'LANG']\n\
        [tools.c]\nurl = 'https://c.example'\nbearer_token_env_var = 'C'\nenv_http_headers = { X-D = 'D' }\n\
        [tools.github]\nbuiltin = 'github'\nruns = 'host'\nenv_vars = ['GITHUB_TOKEN', 'HOME']\n\
        [credentials.e]\norigin = 'https://e.example'\nusername = 'e'\npassword_env = 'E'\n\
        [server]\ntoken_key_env = 'SEAL'";
    let config = with(text);
    let variables: Vec<&str> = config.secret_variables().into_iter().collect();
    let expected = [
        "A_VALUE",
        "B_TOKEN",
        "C",
        "D",
        "E",
        "GITHUB_TOKEN",
        "SEAL",
        "TEAM",
    ];
    assert_eq!(variables, expected);
    let app = "[tools.github]\nbuiltin = 'github'\nruns = 'host'\napp_id = 1\napp_key_env = 'PEM'";
    let config = with(&format!(
        "{app}\n[webhooks.github]\nsecret_env = ['HOOK', 'OLD_HOOK']"
    ));
    let variables: Vec<&str> = config.secret_variables().into_iter().collect();
    assert_eq!(variables, ["HOOK", "OLD_HOOK", "PEM"]);
    let config = with(
        "[tools.github]\nbuiltin = 'github'\nruns = 'host'\napp_id = 1\napp_key_file = '/etc/app.pem'",
    );
    let files: Vec<_> = config.secret_files().into_iter().collect();
    assert_eq!(files, [Path::new("/etc/app.pem")]);
}
