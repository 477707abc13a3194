//! The list of metrics in ARCHITECTURE.md is what a server gives out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pullwright::metrics::{Metrics, ObservedStore};
use pullwright::store::SqliteStore;
use pullwright::traces::Traces;
use pullwright_core::log::stamp;
use pullwright_core::store::{NewRun, RunStore};
use pullwright_protocol::provider::{StopReason, TokenUsage};
use pullwright_protocol::{
    CheckPhase, CheckReport, Event, FailureKind, Outcome, Provenance, Stage, ToolView,
};
use serde_json::Value;

use crate::support::{done, id, request};

const LEASE: Duration = Duration::from_secs(60);

/// A family: its kind, the names of its labels, and what it counts.
#[derive(Debug, PartialEq, Eq)]
struct Family {
    kind: String,
    labels: BTreeSet<String>,
    help: String,
}

type Families = BTreeMap<String, Family>;

#[tokio::test]
async fn the_list_of_metrics_is_whole_and_true() {
    let metrics = Metrics::default();
    count_everything(&metrics).await;
    let text = metrics.text().expect("the counts");
    let (given, listed) = (given(&text), listed());
    assert!(given.len() > 15, "{text}");
    assert_eq!(listed, given);
}

/// Commits one event of each kind that is counted, so that no family is empty.
async fn count_everything(metrics: &Metrics) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(&folder.path().join("runs.sqlite")).await;
    let store = Arc::new(store.expect("a store"));
    let store = ObservedStore::new(store, metrics.clone(), Traces::default());
    let run = id("a");
    let new = NewRun {
        id: run.clone(),
        request: request("do it"),
        owner: None,
        idempotency_key: None,
        at_ms: 1,
        sealed_token: None,
    };
    store.create(new).await.expect("create");
    let epoch = store.claim(&run, "worker", LEASE).await.expect("claim");
    let events = everything();
    let last = events.len() as u64 + 1;
    let logged = (1..).zip(events).map(|(seq, event)| stamp(seq, event));
    store
        .append(&run, epoch, logged.collect())
        .await
        .expect("append");
    let outcome = Outcome::NoChanges;
    let finished = store
        .finish(&run, epoch, outcome, done(last, outcome))
        .await;
    finished.expect("finish");
}

fn everything() -> Vec<Event> {
    let text = str::to_owned;
    let stage = |stage| Event::Status {
        stage,
        message: text("it goes on"),
    };
    vec![
        Event::RunCreated {
            request: request("do it"),
        },
        stage(Stage::Queued),
        stage(Stage::Work),
        Event::ConversationStarted {
            provenance: Provenance {
                provider: text("mine"),
                wire: text("scripted"),
                model: text("m"),
                account: None,
            },
            limits: Default::default(),
            system: String::new(),
            tools: Vec::new(),
            beginning: Default::default(),
        },
        Event::ModelReplied {
            stop: StopReason::EndTurn,
            usage: TokenUsage::default(),
            usd: Some(0.5),
            duration_ms: 1,
        },
        Event::ToolAnswered {
            call_id: text("c"),
            server: text("fs"),
            tool: text("read"),
            arguments: Value::Null,
            parts: Vec::new(),
            is_error: false,
            structured: None,
            view: ToolView::Plain,
            duration_ms: 1,
        },
        Event::ToolServerRestarted {
            server: text("fs"),
            reason: String::new(),
        },
        Event::SandboxOpened {
            kind: text("local"),
            handle: Value::Null,
            elsewhere: false,
        },
        Event::Checked {
            report: CheckReport {
                command: text("true"),
                exit_code: Some(0),
                duration_ms: 1,
                tree: String::new(),
                phase: CheckPhase::Before,
                output_tail: String::new(),
            },
        },
        Event::Error {
            kind: FailureKind::Overloaded,
            message: String::new(),
            retrying: true,
            attempt: 1,
        },
    ]
}

/// The families of a text in the format of OpenMetrics.
fn given(text: &str) -> Families {
    let mut families = Families::new();
    for line in text.lines().filter(|line| !line.starts_with("# UNIT")) {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').expect("a sentence");
            let family = Family {
                kind: String::new(),
                labels: BTreeSet::new(),
                help: help.trim_end_matches('.').to_owned(),
            };
            families.insert(name.to_owned(), family);
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a kind");
            families.get_mut(name).expect("a family").kind = kind.to_owned();
        } else if let Some((sample, labels)) = line.split_once('{') {
            let name = family_of(sample);
            let labels = labels.split_once('}').expect("an end").0;
            let names = labels
                .split("\",")
                .map(|label| label.split_once('=').expect("a label").0);
            let names = names.filter(|name| *name != "le").map(str::to_owned);
            families
                .get_mut(name)
                .expect("a family")
                .labels
                .extend(names);
        }
    }
    let named_as_asked_for = |(name, family): (String, Family)| match family.kind.as_str() {
        "counter" => (format!("{name}_total"), family),
        _ => (name, family),
    };
    families.into_iter().map(named_as_asked_for).collect()
}

fn family_of(sample: &str) -> &str {
    ["_total", "_bucket", "_sum", "_count"]
        .into_iter()
        .find_map(|end| sample.strip_suffix(end))
        .unwrap_or(sample)
}

/// The rows of the table.
fn listed() -> Families {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ARCHITECTURE.md");
    let text = std::fs::read_to_string(file).expect("ARCHITECTURE.md");
    let rows = text
        .lines()
        .filter(|line| line.starts_with("| `pullwright_"));
    rows.map(row).collect()
}

fn row(line: &str) -> (String, Family) {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let [name, kind, labels, help] = cells[..] else {
        panic!("a row of {} cells: {line}", cells.len());
    };
    let labels = labels.split(", ").filter(|label| !label.is_empty());
    let family = Family {
        kind: kind.to_owned(),
        labels: labels
            .map(|label| label.trim_matches('`').to_owned())
            .collect(),
        help: help.to_owned(),
    };
    (name.trim_matches('`').to_owned(), family)
}
