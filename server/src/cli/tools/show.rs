//! What the tool servers offer, and what is wrong with them.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use pullwright_core::config::{Runs, ToolConfig, ToolLink};
use pullwright_core::tools::{
    Approval, ToolBox, ToolNotice, ToolServer, ToolServerError, Withheld,
};
use serde_json::{Value, json};

use super::forge;
use super::open::Workbench;
use crate::cli::say;

/// How much of a description is shown, in characters.
const SHOWN_CHARS: usize = 80;

/// A row, opened.
struct Opened<'a> {
    name: &'a str,
    row: &'a ToolConfig,
    server: Result<Arc<ToolServer>, ToolServerError>,
    took: Duration,
}

pub(super) async fn list(
    bench: &Workbench,
    name: Option<&str>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let opened = open_all(bench, name).await?;
    if json {
        let rows: Vec<Value> = opened.iter().map(Opened::json).collect();
        say(&Value::from(rows).to_string());
    } else {
        opened.iter().for_each(Opened::print);
    }
    let broken = opened.iter().any(|one| one.server.is_err());
    Ok(exit(!broken))
}

/// One line for each thing that was looked at.
pub(super) async fn check(bench: &Workbench, name: Option<&str>) -> anyhow::Result<ExitCode> {
    let opened = open_all(bench, name).await?;
    let mut sound = true;
    for one in &opened {
        match &one.server {
            Ok(server) => {
                let (tools, took) = (server.tools().len(), one.took.as_millis());
                say(&format!(
                    "ok      {}: {tools} tools, started in {took} ms",
                    one.name
                ));
                for notice in one.notices() {
                    sound = false;
                    say(&format!("PROBLEM {}: {notice}", one.name));
                }
                sound &= check_forge(one, server).await;
            }
            Err(error) => {
                sound = false;
                say(&format!("PROBLEM {}: {error}", one.name));
            }
        }
    }
    let servers = opened
        .iter()
        .filter_map(|one| one.server.as_ref().ok().cloned());
    if let Err(collision) = ToolBox::new(servers.collect()) {
        sound = false;
        say(&format!("PROBLEM {collision}"));
    }
    Ok(exit(sound))
}

/// Whether a server is no forge, or a sound one.
async fn check_forge(one: &Opened<'_>, server: &ToolServer) -> bool {
    let Some(problems) = forge::problems(one.row, server).await else {
        return true;
    };
    for problem in &problems {
        say(&format!("PROBLEM {}: {problem}", one.name));
    }
    if problems.is_empty() {
        let hosts = one.row.hosts.join(", ");
        say(&format!("ok      {}: a forge for {hosts}", one.name));
    }
    problems.is_empty()
}

async fn open_all<'a>(bench: &'a Workbench, name: Option<&str>) -> anyhow::Result<Vec<Opened<'a>>> {
    let rows = bench.rows(name)?.into_iter();
    let opening = rows.map(async |(name, row)| {
        let begin = Instant::now();
        let approval = Arc::clone(&bench.accepted) as Arc<dyn Approval>;
        let server = bench.connect(name, row, approval).await;
        Opened {
            name,
            row,
            server: server.map(Arc::new),
            took: begin.elapsed(),
        }
    });
    Ok(join_all(opening).await)
}

impl Opened<'_> {
    fn print(&self) {
        let (link, side) = (link_of(&self.row.link), side_of(self.row.runs));
        match &self.server {
            Ok(_) => say(&format!("{}  ({link}, {side})", self.name)),
            Err(error) => say(&format!("{}  ({link}, {side})  {error}", self.name)),
        }
        for tool in self.tools() {
            let text = |key: &str| tool[key].as_str().unwrap_or_default().to_owned();
            let description = text("description");
            let first = description.lines().next().unwrap_or_default();
            let first: String = first.chars().take(SHOWN_CHARS).collect();
            let read_only = if tool["readOnly"] == true {
                "  read-only"
            } else {
                ""
            };
            say(&format!("  {}{read_only}  {first}", text("name")));
        }
        for notice in self.notices() {
            say(&format!("  ! {notice}"));
        }
    }

    fn json(&self) -> Value {
        json!({
            "server": self.name,
            "link": link_of(&self.row.link),
            "runs": side_of(self.row.runs),
            "startedInMs": u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
            "error": self.server.as_ref().err().map(ToString::to_string),
            "tools": self.tools(),
            "problems": self.notices(),
        })
    }

    /// As a model is offered them.
    fn tools(&self) -> Vec<Value> {
        let Ok(server) = &self.server else {
            return Vec::new();
        };
        let Ok(all) = ToolBox::new(vec![Arc::clone(server)]) else {
            return Vec::new();
        };
        let tools = all.specs().into_iter();
        tools
            .map(|spec| {
                json!({
                    "readOnly": all.get(&spec.name).is_some_and(|tool| tool.read_only),
                    "name": spec.name,
                    "description": spec.description,
                })
            })
            .collect()
    }

    /// What the server told when it was opened. Said once: the handle gives its notices away.
    fn notices(&self) -> Vec<String> {
        let Some(mut notices) = self
            .server
            .as_ref()
            .ok()
            .and_then(|server| server.take_notices())
        else {
            return Vec::new();
        };
        let mut told = Vec::new();
        while let Ok(notice) = notices.try_recv() {
            match notice {
                ToolNotice::Withheld(withheld) => told.extend(withheld.iter().map(withheld_line)),
                ToolNotice::UnknownTool { key, name, nearest } => {
                    let nearest = nearest
                        .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
                    told.push(format!(
                        "`{key}` names `{name}`, which it does not have{nearest}"
                    ));
                }
                _ => {}
            }
        }
        told
    }
}

fn withheld_line(withheld: &Withheld) -> String {
    format!("`{}` is withheld: {}", withheld.tool, withheld.reason)
}

fn link_of(link: &ToolLink) -> &'static str {
    match link {
        ToolLink::Builtin(_) => "built in",
        ToolLink::Command { .. } => "command",
        ToolLink::Url { .. } => "url",
        ToolLink::Library { .. } => "library",
    }
}

fn side_of(runs: Runs) -> &'static str {
    match runs {
        Runs::Sandbox => "sandbox",
        Runs::Host => "host",
    }
}

fn exit(well: bool) -> ExitCode {
    if well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
