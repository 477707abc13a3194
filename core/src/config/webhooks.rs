//! Whose webhooks start runs, and which.

use super::ConfigError;
use super::section::Section;

/// Whose webhooks are taken.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WebhooksConfig {
    /// Those of GitHub; none if absent.
    pub github: Option<GithubWebhookConfig>,
}

/// What deliveries of GitHub's webhooks may start.
#[derive(Clone, Debug, PartialEq)]
pub struct GithubWebhookConfig {
    /// The names of the variables that hold secrets. A delivery signed with any of them is genuine, so that
    /// one can be replaced by another.
    pub secret_env: Vec<String>,
    /// The label that starts a run for the issue it is put on.
    pub label: String,
    /// The name, with its `@`, by which people call.
    pub mention: String,
    /// How often a failed check on one of our own pull requests is repaired before people must say something.
    pub repair_attempts: u32,
    /// Whether deliveries that have not arrived are asked for again, where the forge works as a GitHub App.
    pub redeliver: bool,
    /// The repositories, as `HOST/OWNER/NAME` with `*`; all that the server takes if there are none here.
    pub repositories: Vec<String>,
    /// The provider row of these runs; `[agent] provider` if absent.
    pub provider: Option<String>,
    /// The most that one of these runs may cost, in US dollars.
    pub max_usd: Option<f64>,
    /// How many of these runs may be under way at the same time.
    pub max_runs: Option<usize>,
}

pub(super) const KEYS: &[&str] = &["github"];
pub(super) const GITHUB_KEYS: &[&str] = &[
    "secret_env",
    "label",
    "mention",
    "repair_attempts",
    "redeliver",
    "repositories",
    "provider",
    "max_usd",
    "max_runs",
];

const DEFAULT_NAME: &str = "pullwright";
const DEFAULT_REPAIR_ATTEMPTS: u32 = 2;
/// More attempts than this are no bound on what a broken check costs.
const MAX_REPAIR_ATTEMPTS: u32 = 20;
/// GitHub's longest label, in characters.
const MAX_LABEL_CHARS: usize = 50;

impl WebhooksConfig {
    pub(super) fn read(root: &Section<'_>) -> Result<Self, ConfigError> {
        let section = root.section("webhooks", KEYS)?;
        let github = match section.has("github") {
            true => Some(GithubWebhookConfig::read(
                &section.section("github", GITHUB_KEYS)?,
            )?),
            false => None,
        };
        Ok(Self { github })
    }

    /// Every row named here must exist.
    pub(super) fn check_rows(
        &self,
        root: &Section<'_>,
        has_row: impl Fn(&str) -> bool,
    ) -> Result<(), ConfigError> {
        let row = self.github.as_ref().and_then(|it| it.provider.as_deref());
        match row.filter(|row| !has_row(row)) {
            None => Ok(()),
            Some(row) => {
                let section = root.section("webhooks", KEYS)?;
                let section = section.section("github", GITHUB_KEYS)?;
                let message = format!("there is no row `{row}` in `[providers]`");
                Err(section.error("provider", message))
            }
        }
    }
}

impl GithubWebhookConfig {
    fn read(section: &Section<'_>) -> Result<Self, ConfigError> {
        let secret_env = section.variables("secret_env")?;
        if secret_env.is_empty() {
            let message = "name the environment variables that hold the webhook's secret, such as \
                           [\"GITHUB_WEBHOOK_SECRET\"]";
            return Err(section.error("secret_env", message));
        }
        let most_runs = section.small_integer("max_runs", 1..=10_000)?;
        Ok(Self {
            secret_env,
            label: read_label(section)?,
            mention: read_mention(section)?,
            repair_attempts: section
                .small_integer("repair_attempts", 0..=MAX_REPAIR_ATTEMPTS)?
                .unwrap_or(DEFAULT_REPAIR_ATTEMPTS),
            redeliver: section.boolean("redeliver")?.unwrap_or(true),
            repositories: section.strings("repositories")?.unwrap_or_default(),
            provider: section.non_empty("provider")?,
            max_usd: section.number("max_usd", 0.000_001..=1_000_000.0)?,
            max_runs: most_runs.map(|most| most as usize),
        })
    }
}

fn read_label(section: &Section<'_>) -> Result<String, ConfigError> {
    let label = section.non_empty("label")?;
    let label = label.unwrap_or_else(|| DEFAULT_NAME.to_owned());
    if label.chars().count() > MAX_LABEL_CHARS {
        let message = format!("GitHub's labels have at most {MAX_LABEL_CHARS} characters");
        return Err(section.error("label", message));
    }
    Ok(label)
}

fn read_mention(section: &Section<'_>) -> Result<String, ConfigError> {
    let Some(mention) = section.string("mention")? else {
        return Ok(format!("@{DEFAULT_NAME}"));
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_/".contains(c);
    match mention.strip_prefix('@') {
        Some(name) if !name.is_empty() && name.chars().all(plain) => Ok(mention),
        _ => {
            let message = "write the name with its `@`, such as \"@pullwright\"";
            Err(section.error("mention", message))
        }
    }
}
