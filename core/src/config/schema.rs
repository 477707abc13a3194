//! The shape of `plugins.toml`, for editors that complete and check it while it is written.
//!
//! The parser says more, and says it better; what both know of keys is held together by a test.

use std::collections::BTreeMap;

use pullwright_protocol::Publish;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// The JSON Schema of `plugins.toml`.
#[must_use]
pub fn config_schema() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings
        .into_generator()
        .into_root_schema_for::<File>()
        .to_value();
    unwrap_texts(&mut schema);
    schema
}

/// Where doc comments were wrapped is nobody's business but Rust's.
fn unwrap_texts(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(text) if key == "description" => *text = text.replace('\n', " "),
                    value => unwrap_texts(value),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(unwrap_texts),
        _ => {}
    }
}

/// The models and the tools of Pullwright, and how far a run may go.
#[derive(JsonSchema)]
#[schemars(title = "plugins.toml", deny_unknown_fields)]
#[expect(dead_code, reason = "only described")]
struct File {
    agent: Agent,
    budget: Option<Budget>,
    repositories: Option<Repositories>,
    commit: Option<Commit>,
    pull_request: Option<PullRequest>,
    /// What git authenticates with at hosts without a forge, by a name of your own.
    credentials: Option<BTreeMap<String, Credential>>,
    setup: Option<Setup>,
    checks: Option<Checks>,
    policy: Option<Policy>,
    /// The models, by a name of your own.
    providers: BTreeMap<String, Provider>,
    /// The tool servers, by a name of your own.
    tools: Option<BTreeMap<String, Tool>>,
    sandbox: Option<Sandbox>,
    server: Option<Server>,
    webhooks: Option<Webhooks>,
}

/// Which model works.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only described")]
struct Agent {
    /// A row of [providers].
    provider: String,
    /// The rows that take over, one after the other, when a provider is spent.
    fallback: Option<Vec<String>>,
}

/// How far a run may go. A request can only lower it.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only described")]
struct Budget {
    /// US dollars, or "none" to count none. Needs `prices` in the provider's row.
    max_usd: Option<Dollars>,
    /// Tokens, input and output together.
    max_tokens: Option<u64>,
    /// Model calls. Default 200.
    max_turns: Option<u32>,
    /// Minutes of wall time. Default 60.
    max_minutes: Option<f64>,
    /// Minutes that a run may wait in all for limits, outages and forks of its forge, which do not count against
    /// `max_minutes`. Default 360; 0 to wait for none.
    max_parked_minutes: Option<f64>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only described")]
enum Dollars {
    Amount(f64),
    Uncounted(Uncounted),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[expect(dead_code, reason = "only described")]
enum Uncounted {
    None,
}

/// Which repositories are accepted.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only described")]
struct Repositories {
    /// Git hosts. One with a port may be plain http; ssh://HOST is one reached by ssh. Default:
    /// github.com.
    hosts: Option<Vec<String>>,
    /// How much of a repository is fetched: full (default) has its whole history; shallow has none before the
    /// commit that a run begins at; blobless has the history without the contents that files had before, where the
    /// git host can filter.
    clone: Option<CloneMode>,
    /// The largest clone, in MiB. Default 2048.
    max_clone_mb: Option<u64>,
    /// The room that the mirrors of all repositories may take together, in MiB. When they take more, those that were
    /// used longest ago go. Default 20480.
    mirror_cache_mb: Option<u64>,
    /// What a fetch leaves free of the disk, in MiB. Default 1024.
    min_free_mb: Option<u64>,
    /// How changes reach a repository: auto (a branch where the token may push, else a fork; default),
    /// branch, fork or patch. A request may only be more careful.
    publish: Option<Publish>,
    /// What becomes of a change whose base branch has moved meanwhile: rebase (default) puts it on the
    /// newest commit, merge merges that into it, keep leaves it where it was made.
    moved_base: Option<MovedBase>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[expect(dead_code, reason = "only described")]
enum CloneMode {
    Full,
    Shallow,
    Blobless,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[expect(dead_code, reason = "only described")]
enum MovedBase {
    Rebase,
    Merge,
    Keep,
}

/// Whose commits are pushed.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only described")]
struct Commit {
    /// The name of author and committer. Default: Pullwright.
    name: Option<String>,
    /// Their email address.
    email: Option<String>,
    /// Who has part in each commit, as `Name <mail>`.
    co_authors: Option<Vec<String>>,
    /// Whether the code host makes the commits itself, through its API, and so marks them as verified: off
    /// (default), when_possible (the others are pushed, and the run says so) or always (the others are not, and
    /// `moved_base` is not merge). Their author is then the account of the token; name and email do not apply.
    verified: Option<Verified>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
#[expect(dead_code, reason = "only described")]
enum Verified {
    Off,
    WhenPossible,
    Always,
}

/// What a pull request gets beside its description.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only described")]
struct PullRequest {
    /// Whether each is opened as a draft. Default false.
    draft: Option<bool>,
    /// Its labels.
    labels: Option<Vec<String>>,
    /// The people whose review is asked for.
    reviewers: Option<Vec<String>>,
    /// The teams whose review is asked for, without their organisation.
    team_reviewers: Option<Vec<String>>,
    /// The people who are to see to it.
    assignees: Option<Vec<String>>,
}

/// A user name and a password for git, at one origin.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only described")]
struct Credential {
    /// Scheme, host and port, such as https://git.example.com. It is offered to no other.
    origin: String,
    /// The user name.
    username: String,
    /// The name of the environment variable that holds the password, or a token; never the password.
    password_env: String,
}

/// What installs a repository's dependencies, before the model starts.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only described")]
struct Setup {
    /// Shell commands; found in the repository if absent.
    run: Option<Vec<String>>,
    /// Hosts that may be reached meanwhile, and no longer when the model works.
    allow: Option<Vec<String>>,
    /// The longest wait for one command, in seconds. Default 900.
    timeout_sec: Option<u64>,
}

/// What proves a change.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only described")]
struct Checks {
    /// Shell commands; found in the repository if absent.
    run: Option<Vec<String>>,
    /// The longest wait for one command, in seconds. Default 900.
    timeout_sec: Option<u64>,
    /// How often a broken check, or a change that may not be pushed, goes back to the model. Default 2.
    max_repairs: Option<u32>,
}

/// What a change may hold, if it is to be pushed.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only described")]
struct Policy {
    /// Files that a run may not change, as globs from the repository's root, such as infra/**; one without a
    /// slash is a name in any folder, such as CODEOWNERS. Beside .github/workflows/**, .github/actions/** and
    /// .gitmodules.
    protected: Option<Vec<String>>,
    /// Those of them, or of the ones protected by default, that it may change.
    allow: Option<Vec<String>>,
    /// The largest file, in MiB. Default 90.
    max_file_mb: Option<u64>,
    /// All changed files together, in MiB. Default 256.
    max_change_mb: Option<u64>,
    /// How many files may change. Default 10000.
    max_files: Option<u64>,
    /// What becomes of changed files that are not text. Default: report, in the pull request.
    binary: Option<Notable>,
    /// What becomes of files that look generated or left behind, such as node_modules. Default: report.
    noise: Option<Notable>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[expect(dead_code, reason = "only described")]
enum Notable {
    Report,
    Refuse,
    Allow,
}

/// A model: exactly one of wire_api, preset, command, url and library.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only described")]
struct Provider {
    /// A wire format that Pullwright speaks itself, such as anthropic_messages.
    wire_api: Option<String>,
    /// A vendor or server whose well-known settings fill in what the row does not say, such as
    /// openai, openrouter, deepseek, vllm or lmstudio.
    preset: Option<String>,
    /// Where the service is.
    base_url: Option<String>,
    /// The name of the environment variable that holds the key; never the key.
    env_key: Option<String>,
    /// The command that prints the key, instead of `env_key`.
    auth: Option<Auth>,
    /// More headers, each with the name of the environment variable that holds its value.
    env_http_headers: Option<BTreeMap<String, String>>,
    /// A PEM file of certificate authorities to trust beside the machine's own.
    ca_file: Option<String>,
    /// How hard the model thinks, in its vendor's own words, such as high.
    effort: Option<String>,
    /// Who makes a conversation shorter that became too long: provider (anthropic_messages and
    /// openai_responses only) or summary. Default: provider at the vendor's own address.
    compaction: Option<String>,
    /// How the service departs from its format.
    quirks: Option<Quirks>,
    /// The file of replies, for `wire_api = "scripted"`.
    script: Option<String>,
    /// A program that speaks the provider protocol over standard input and output.
    command: Option<String>,
    /// Its arguments.
    args: Option<Vec<String>>,
    /// Variables to set, none of them a secret.
    env: Option<BTreeMap<String, String>>,
    /// Names of variables to pass on; nothing else is.
    env_vars: Option<Vec<String>>,
    /// A service that speaks the provider protocol over WebSocket: wss://, or ws:// on this machine.
    url: Option<String>,
    /// The name of the environment variable that holds the bearer token for `url`.
    bearer_token_env_var: Option<String>,
    /// A native library that speaks the provider protocol.
    library: Option<String>,
    /// The library's SHA-256: no other file is loaded.
    sha256: Option<String>,
    /// The model's name, as its vendor writes it.
    model: Option<String>,
    /// The most tokens one reply may have.
    max_output_tokens: Option<u64>,
    /// The size of the model's context, in tokens.
    context_tokens: Option<u64>,
    /// The format in which the model changes files: str_replace or apply_patch. Default: by its family.
    edit_tool: Option<String>,
    /// What the model costs, in US dollars per million tokens.
    prices: Option<Prices>,
}

/// A command that prints a key on its standard output.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only described")]
struct Auth {
    /// The program and its arguments; no shell reads them.
    command: Vec<String>,
    /// How long the key is good for, in seconds. Default 300.
    refresh_sec: Option<f64>,
}

/// How a service's Chat Completions depart from OpenAI's.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only described")]
struct Quirks {
    /// The key for the most tokens of a reply: max_tokens (default) or max_completion_tokens.
    limit_key: Option<String>,
    /// The key for the effort: reasoning_effort (default), reasoning or thinking.
    effort_key: Option<String>,
    /// Whether `stream_options` is refused.
    no_stream_options: Option<bool>,
    /// Whether images are refused.
    no_images: Option<bool>,
    /// Whether every tool call must go back with `reasoning_content`.
    needs_reasoning: Option<bool>,
    /// What ids of tool calls must look like: any (default) or nine_characters.
    call_ids: Option<String>,
    /// How caching is asked for: none (default), prompt_cache_key or cache_control.
    cache: Option<String>,
}

/// US dollars per million tokens.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only described")]
struct Prices {
    /// Input that is not in the cache.
    input: f64,
    /// Input read from the cache. Default: as `input`.
    cached_input: Option<f64>,
    /// Input written to the cache. Default: as `input`.
    cache_write: Option<f64>,
    /// Output, reasoning included.
    output: f64,
}

/// A tool server: exactly one of builtin, command, url and library.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only described")]
struct Tool {
    /// One that ships with Pullwright.
    builtin: Option<Builtin>,
    /// A program that speaks MCP over standard input and output.
    command: Option<String>,
    /// Its arguments.
    args: Option<Vec<String>>,
    /// Its working folder.
    cwd: Option<String>,
    /// An MCP server behind an address: https://, or http://.
    url: Option<String>,
    /// The name of the environment variable that holds the bearer token for `url`.
    bearer_token_env_var: Option<String>,
    /// Headers for `url`, none of them a secret.
    http_headers: Option<BTreeMap<String, String>>,
    /// Headers for `url`, each with the name of the variable that holds its value.
    env_http_headers: Option<BTreeMap<String, String>>,
    /// A native library that speaks MCP.
    library: Option<String>,
    /// The library's SHA-256: no other file is loaded.
    sha256: Option<String>,
    /// On which side it runs. Default: the sandbox for builtin and command, else the host.
    runs: Option<Side>,
    /// The time it has to start and list its tools, in seconds. Default 30.
    startup_timeout_sec: Option<f64>,
    /// The time it has for one call, in seconds. Default 60; 900 for built-in servers.
    tool_timeout_sec: Option<f64>,
    /// The only tools that the model sees.
    enabled_tools: Option<Vec<String>>,
    /// Tools that the model does not see.
    disabled_tools: Option<Vec<String>>,
    /// Whether a run fails without it. Default: for built-in servers and forges.
    required: Option<bool>,
    /// Variables to set, none of them a secret.
    env: Option<BTreeMap<String, String>>,
    /// Names of variables to pass on, on the host only; nothing else is.
    env_vars: Option<Vec<String>>,
    /// For a forge: the git hosts it serves, on the host only. A host has one forge. Default for
    /// GitHub: github.com.
    hosts: Option<Vec<String>>,
    /// For GitHub: where its API is.
    base_url: Option<String>,
    /// For GitHub: the id of the App to work as, instead of with a token of `env_vars`.
    app_id: Option<AppId>,
    /// The name of the variable that holds the App's private key in PEM; never the key.
    app_key_env: Option<String>,
    /// The PEM file of the App's private key.
    app_key_file: Option<String>,
    /// Whether the App's tokens may push files of workflows, which it must have the right to. Default false.
    app_workflows: Option<bool>,
    /// For GitHub: the time it has to answer one request, in seconds. Default 30.
    request_timeout_sec: Option<f64>,
    /// For GitHub: how long a call waits for a limit to be over, in seconds. Default 60. A run that would wait
    /// longer is put aside meanwhile.
    longest_wait_sec: Option<f64>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only described")]
enum AppId {
    Number(u64),
    Client(String),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[expect(dead_code, reason = "only described")]
enum Builtin {
    Fs,
    Bash,
    Git,
    Github,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[expect(dead_code, reason = "only described")]
enum Side {
    Sandbox,
    Host,
}

/// Where tool servers and checks run.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only described")]
struct Sandbox {
    /// Default: local.
    kind: Option<Kind>,
    /// The memory of all processes together, in MiB. Default 4096.
    memory_mb: Option<u64>,
    network: Option<Network>,
    /// For `kind = "command"`: what starts the sandbox, as a list of words.
    command: Option<Vec<String>>,
    /// For `kind = "command"`: names of variables that the command gets.
    env_vars: Option<Vec<String>>,
    /// For `kind = "command"`: the time it has to start, in seconds. Default 120.
    startup_timeout_sec: Option<f64>,
    /// For `kind = "local"`: how many processes may be there at once.
    processes: Option<u64>,
    /// For `kind = "local"`: how many processors may be used.
    cpus: Option<f64>,
    /// For `kind = "local"`: workspace and home together, in MiB.
    disk_mb: Option<u64>,
    /// For `kind = "local"`: one file, in MiB.
    file_mb: Option<u64>,
    /// For `kind = "local"`: /tmp, which is in memory, in MiB.
    tmp_mb: Option<u64>,
    /// For `kind = "local"`: how many files one process may have open.
    open_files: Option<u64>,
    /// For `kind = "local"`: files and folders of this machine to show.
    read_only: Option<Vec<String>>,
    /// For `kind = "local"`: folders with programs, besides those of PATH.
    path: Option<Vec<String>>,
    /// For `kind = "modal"`.
    modal: Option<Modal>,
}

/// A sandbox at Modal. The account is found as Modal's own clients find it.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only described")]
struct Modal {
    /// The image's tag in a registry. Default: debian:12 with git.
    image: Option<String>,
    /// Lines of a dockerfile that go on from it.
    dockerfile: Option<Vec<String>>,
    /// The app that the sandboxes belong to. Default: pullwright.
    app: Option<String>,
    /// The static executable of Pullwright that goes into the image.
    tool_host: Option<String>,
    /// Where they may run. Default: anywhere.
    regions: Option<Vec<String>>,
    /// How many cores each has at least.
    cpus: Option<f64>,
    /// How many days what setup has made is kept for later runs, by a snapshot; 0 for not at all. Default 7.
    warm_start_days: Option<u64>,
    /// Whether processes in it reach the whole network, whatever `[sandbox.network]` and `[setup]` allow, also
    /// after setup. Default false.
    open_network: Option<bool>,
    /// How long each may live, in minutes, at most a day. Default 120.
    timeout_min: Option<u64>,
    /// How long nothing may run in it before Modal ends it, in minutes. Default 15.
    idle_timeout_min: Option<u64>,
    /// The time it has to start, in seconds. Default 300.
    startup_timeout_sec: Option<f64>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[expect(dead_code, reason = "only described")]
enum Kind {
    Local,
    Modal,
    Command,
    None,
}

/// What may be reached from the sandbox. Nothing if absent.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only described")]
struct Network {
    /// Hosts, such as api.example.com, *.example.org or mirror.internal:8443.
    allow: Option<Vec<String>>,
    /// Those of them that may have an address in a private network.
    private: Option<Vec<String>>,
}

/// The limits of `serve`. Changes wait for a restart.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only described")]
struct Server {
    /// How many runs are under way at once. Default 8.
    max_concurrent_runs: Option<u32>,
    /// How long a run stays a server's that is not heard of, before another goes on with it, in seconds.
    /// Default 15.
    lease_sec: Option<u32>,
    /// How many more may wait for a place; 0 for none. Default 100.
    max_queued_runs: Option<u32>,
    /// How long a run waits for a place before it fails, in minutes. Default 60.
    max_queue_minutes: Option<u32>,
    /// How many runs of one API key are under way at once. Default: no limit.
    max_runs_per_key: Option<u32>,
    /// How many runs on one repository are under way at once. Default: no limit.
    max_runs_per_repository: Option<u32>,
    /// How long runs may go on once the server is told to stop, before they are interrupted, in
    /// seconds. Another server, or the next start, goes on with them. Default 30.
    shutdown_grace_sec: Option<u32>,
    /// The longest prompt, in characters. Default 100000.
    max_prompt_chars: Option<u32>,
    /// The longest request, in bytes. Default 1048576.
    max_body_bytes: Option<u32>,
    /// Where people reach the server, for links to runs in pull requests.
    public_url: Option<String>,
    /// Where runs, mirrors and the event log are.
    data_dir: Option<String>,
    /// Whether an API key is needed even where none was made and only this machine can call. Default false.
    require_keys: Option<bool>,
    /// How many requests one API key, and one address of another machine, may make in a minute. Default 1200.
    requests_per_minute: Option<u32>,
    /// How many of them may come at once. Default 200.
    request_burst: Option<u32>,
    /// How many requests with a wrong API key one address may make in a minute. Default 20.
    failed_auth_per_minute: Option<u32>,
    /// The proxies whose X-Forwarded-For is believed, as addresses or ranges such as 10.0.0.0/8.
    trusted_proxies: Option<Vec<String>>,
    /// The origins of pages of other sites that may call, such as https://app.example.com. Default: none.
    allowed_origins: Option<Vec<String>>,
    /// The names by which the server is called, beside its addresses and localhost.
    allowed_hosts: Option<Vec<String>>,
    /// How many days the events and the patch of an ended run are kept, or "none" for ever. Default 30.
    keep_runs_days: Option<Days>,
    /// The folder that they are written to, compressed, before they are deleted.
    archive_dir: Option<String>,
    /// The variable with the keys that callers' tokens (X-Forge-Token) are stored encrypted with: 32 bytes each,
    /// as base64 or in hexadecimal, the newest first, with white space between. Without it tokens are in memory
    /// only, and runs with one end with their server.
    token_key_env: Option<String>,
}

/// Whose webhooks start runs. Changes wait for a restart.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only described")]
struct Webhooks {
    github: Option<GithubWebhook>,
}

/// What GitHub's deliveries to POST /webhooks/github may start.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only described")]
struct GithubWebhook {
    /// The names of the variables that hold the webhook's secret; several while one replaces another.
    secret_env: Vec<String>,
    /// The label that starts a run for an issue. Default: pullwright.
    label: Option<String>,
    /// The name, with its @, by which people call. Default: @pullwright.
    mention: Option<String>,
    /// How often a failed check on one of its own pull requests is repaired without a word from people. Default 2.
    repair_attempts: Option<u32>,
    /// Whether deliveries of the App's own webhook that have not arrived are asked for again, where the forge works as
    /// a GitHub App. Default true.
    redeliver: Option<bool>,
    /// The repositories, as HOST/OWNER/NAME with *. Default: all that the server takes.
    repositories: Option<Vec<String>>,
    /// A row of [providers] for these runs.
    provider: Option<String>,
    /// The most that one of these runs may cost, in US dollars.
    max_usd: Option<f64>,
    /// How many of these runs may be under way at once.
    max_runs: Option<u32>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only described")]
enum Days {
    Number(u32),
    Uncounted(Uncounted),
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::{
        change, credential, policy, provider, publishing, sandbox, server, tool, webhooks,
    };

    /// The committed schema; with this variable set, a test writes it.
    const WRITE: &str = "PULLWRIGHT_WRITE_SCHEMA";

    fn keys(pointer: &str) -> BTreeSet<String> {
        let schema = config_schema();
        let found = schema
            .pointer(pointer)
            .unwrap_or_else(|| panic!("{pointer}"));
        let object = match found.get("anyOf") {
            Some(either) => &either[0],
            None => found,
        };
        let properties = object["properties"].as_object();
        let properties = properties.unwrap_or_else(|| panic!("{pointer}: {found}"));
        properties.keys().cloned().collect()
    }

    #[test]
    fn the_schema_knows_the_keys_that_the_parser_knows() {
        for (pointer, known) in [
            ("", crate::config::KEYS),
            ("/properties/agent", policy::AGENT_KEYS),
            ("/properties/budget", policy::BUDGET_KEYS),
            ("/properties/repositories", policy::REPOSITORIES_KEYS),
            ("/properties/commit", publishing::COMMIT_KEYS),
            ("/properties/pull_request", publishing::PULL_REQUEST_KEYS),
            (
                "/properties/credentials/additionalProperties",
                credential::KEYS,
            ),
            ("/properties/setup", policy::SETUP_KEYS),
            ("/properties/checks", policy::CHECKS_KEYS),
            ("/properties/policy", change::KEYS),
            ("/properties/providers/additionalProperties", provider::KEYS),
            ("/properties/tools/additionalProperties", tool::KEYS),
            ("/properties/sandbox", sandbox::KEYS),
            ("/properties/server", &server::keys()),
            ("/properties/webhooks", webhooks::KEYS),
        ] {
            let known: BTreeSet<String> = known.iter().map(|key| (*key).to_owned()).collect();
            assert_eq!(keys(pointer), known, "{pointer}");
        }
        let known = |keys: &[&str]| {
            keys.iter()
                .map(|key| (*key).to_owned())
                .collect::<BTreeSet<_>>()
        };
        let schema = config_schema().to_string();
        let nested = [
            provider::PRICE_KEYS,
            provider::AUTH_KEYS,
            sandbox::NETWORK_KEYS,
            sandbox::modal::KEYS,
            webhooks::GITHUB_KEYS,
        ]
        .concat();
        for key in known(&nested) {
            assert!(schema.contains(&format!("\"{key}\":")), "{key}");
        }
    }

    #[test]
    fn the_schema_beside_the_configuration_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/plugins.schema.json");
        let text = serde_json::to_string_pretty(&config_schema()).unwrap() + "\n";
        if std::env::var_os(WRITE).is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == text,
            "set {WRITE}=1 and run this test to write {path} anew"
        );
    }
}
