//! `pullwright audit`: who did what when.

use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};

use clap::Args;

use super::place::Place;
use super::say;
use crate::access::{AuditEntry, Audited};

#[derive(Args)]
pub(super) struct Audit {
    #[command(flatten)]
    place: Place,
    /// How many of the latest entries.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Print them as JSON, one a line.
    #[arg(long)]
    json: bool,
}

impl Audit {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let entries = match self.place.find().await? {
            Some(store) => store.recorded(None, self.limit as usize).await?,
            None => Vec::new(),
        };
        if entries.is_empty() && !self.json {
            say("nothing was recorded");
        }
        for entry in entries.iter().rev() {
            say(&match self.json {
                true => serde_json::to_string(entry)?,
                false => line(entry),
            });
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn line(audited: &Audited) -> String {
    let AuditEntry {
        at_ms,
        actor,
        address,
        action,
        target,
        repository,
        outcome,
        detail,
        count,
        ..
    } = &audited.entry;
    let at = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(*at_ms));
    let who = actor.as_deref().unwrap_or("(no key)");
    let mut said = vec![
        at,
        format!("{who:20}"),
        format!("{action:16}"),
        outcome.to_string(),
    ];
    let rest = [target, repository, address, detail];
    said.extend(rest.into_iter().flatten().cloned());
    if *count > 1 {
        said.push(format!("({count} times)"));
    }
    let text = said.join("  ");
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
