//! `pullwright keys`: who may call `serve`.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use pullwright_core::log::now_ms;

use super::place::Place;
use super::runs::age;
use super::{COMMAND_LINE, complain, say};
use crate::access::{
    Action, AuditEntry, Grant, Key, KeyMade, KeyName, KeyState, NewKey, RepositoryGlob, Scope,
    Secret,
};
use crate::store::Store;

const DAY: Duration = Duration::from_secs(24 * 3600);

#[derive(Args)]
pub(super) struct Keys {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Make a key and print its secret, which is shown this once.
    Create(Create),
    /// List the keys, revoked ones included.
    List {
        /// Print them as JSON, one a line.
        #[arg(long)]
        json: bool,
    },
    /// End a key. A running server refuses it from then on.
    Revoke {
        /// The key's name.
        name: KeyName,
    },
}

#[derive(Args)]
struct Create {
    /// Its name. Runs go by it: a new key with the name of a revoked one sees that one's runs.
    name: KeyName,
    /// What it may do: `run` starts runs and ends its own, `read` sees its own, `admin` sees and ends all,
    /// and reads the metrics and the record of what was done.
    #[arg(long = "scope", value_delimiter = ',', default_value = "run,read")]
    scopes: Vec<Scope>,
    /// Repositories it may work on, such as github.com/acme/*; may be given several times. All that the
    /// server takes if absent.
    #[arg(long = "repository", value_name = "GLOB")]
    repositories: Vec<RepositoryGlob>,
    /// A provider row it may use, with its own model; may be given several times. The first one is used
    /// unless a request says otherwise. All if absent.
    #[arg(long = "provider", value_name = "ROW")]
    providers: Vec<String>,
    /// The most that one of its runs may cost, in US dollars.
    #[arg(long, value_parser = dollars)]
    max_usd: Option<f64>,
    /// How many of its runs may be under way at the same time.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    max_concurrent: Option<u32>,
    /// In how many days it ends by itself.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    expires: Option<u32>,
}

impl Keys {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        match self.task {
            Task::Create(create) => create.run(&self.place).await?,
            Task::List { json } => list(&self.place, json).await?,
            Task::Revoke { name } => revoke(&self.place, &name).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Create {
    async fn run(self, place: &Place) -> anyhow::Result<()> {
        self.check_providers(place)?;
        let secret = Secret::generate().context("the system gives no random bytes")?;
        let new = self.new_key(&secret);
        let store = place.open().await?;
        let name = &new.name;
        if store.create_key(&new).await? == KeyMade::NameTaken {
            bail!("there is a key `{name}`; choose another name, or revoke that one first");
        }
        let scopes = new.grant.scopes.iter().map(|scope| scope.as_str());
        let scopes = scopes.collect::<Vec<_>>().join(", ");
        note(&store, Action::KeyCreated, name, Some(&scopes)).await;
        complain(&format!(
            "the secret of key `{name}` ({scopes}), which is not shown again:"
        ));
        say(secret.expose());
        Ok(())
    }

    fn check_providers(&self, place: &Place) -> anyhow::Result<()> {
        let Some(config) = place.config()? else {
            return Ok(());
        };
        let known = |row: &&String| config.providers.contains_key(*row);
        match self.providers.iter().find(|row| !known(row)) {
            None => Ok(()),
            Some(row) => {
                let rows: Vec<&str> = config.providers.keys().map(String::as_str).collect();
                bail!(
                    "there is no provider `{row}`; there are: {}",
                    rows.join(", ")
                )
            }
        }
    }

    fn new_key(self, secret: &Secret) -> NewKey {
        let now = now_ms();
        let days = |days: u32| u64::from(days).saturating_mul(DAY.as_secs() * 1000);
        NewKey {
            name: self.name,
            digest: secret.digest(),
            grant: Grant {
                scopes: self.scopes.into_iter().collect(),
                repositories: self.repositories,
                providers: self.providers,
                max_usd: self.max_usd,
                max_concurrent: self.max_concurrent.map(|most| most as usize),
            },
            created_at_ms: now,
            expires_at_ms: self
                .expires
                .map(|expires| now.saturating_add(days(expires))),
        }
    }
}

async fn list(place: &Place, json: bool) -> anyhow::Result<()> {
    let keys = match place.find().await? {
        Some(store) => store.keys().await?,
        None => Vec::new(),
    };
    if json {
        for key in keys {
            say(&serde_json::to_string(&key)?);
        }
        return Ok(());
    }
    if keys.is_empty() {
        say("there are no API keys");
    }
    for key in keys {
        say(&line(&key, now_ms()));
    }
    Ok(())
}

async fn revoke(place: &Place, name: &KeyName) -> anyhow::Result<()> {
    let unknown =
        || format!("there is no key `{name}` to revoke; `pullwright keys list` shows them");
    let store = place.find().await?.with_context(unknown)?;
    if !store.revoke_key(name.as_str(), now_ms()).await? {
        bail!(unknown());
    }
    note(&store, Action::KeyRevoked, name, None).await;
    say(&format!("key `{name}` is revoked"));
    if !store.has_keys().await? {
        complain(
            "that was the last key: a server that only this machine reaches lets everybody in now, \
             unless `[server] require_keys = true`",
        );
    }
    Ok(())
}

/// The key is made or revoked already, so a record that cannot be written is only told.
async fn note(store: &Arc<dyn Store>, action: Action, key: &KeyName, detail: Option<&str>) {
    let entry = AuditEntry::now(Some(COMMAND_LINE), action).to(key.as_str());
    let entry = match detail {
        Some(detail) => entry.saying(detail),
        None => entry,
    };
    if let Err(error) = store.record(&[entry]).await {
        complain(&format!(
            "WARNING: this is not in the record of what was done: {error}"
        ));
    }
}

fn line(key: &Key, now_ms: u64) -> String {
    let since = |at_ms: u64| age(now_ms.saturating_sub(at_ms));
    let used = key.last_used_at_ms.map_or("never used".to_owned(), |at| {
        format!("used {} ago", since(at))
    });
    let mut said = vec![
        format!("{:20}", key.name),
        key.id.clone(),
        format!("{:7}", key.state(now_ms).to_string()),
        format!("made {} ago", since(key.created_at_ms)),
        used,
    ];
    if let (KeyState::Live, Some(end)) = (key.state(now_ms), key.expires_at_ms) {
        said.push(format!("ends in {}", age(end.saturating_sub(now_ms))));
    }
    said.extend(limits(&key.grant));
    said.join("  ")
}

fn limits(grant: &Grant) -> Vec<String> {
    let scopes = grant.scopes.iter().map(|scope| scope.as_str());
    let mut said = vec![scopes.collect::<Vec<_>>().join(",")];
    said.extend(grant.repositories.iter().map(ToString::to_string));
    said.extend(grant.providers.iter().map(|row| format!("provider {row}")));
    said.extend(grant.max_usd.map(|most| format!("max ${most}")));
    said.extend(grant.max_concurrent.map(|most| format!("max {most} runs")));
    said
}

fn dollars(text: &str) -> Result<f64, String> {
    let amount = text.parse::<f64>().ok();
    let positive = amount.filter(|amount| amount.is_finite() && *amount > 0.0);
    positive.ok_or_else(|| "it must be a number above zero".to_owned())
}
