//! The metrics, with their names and labels.

use std::collections::HashSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use pullwright_protocol::provider::TokenUsage;
use pullwright_protocol::{CheckPhase, FailureKind, Outcome, Stage};
use serde_json::json;

/// How many models have labels of their own. Requests name models, and a label is never forgotten.
const MAX_MODELS: usize = 100;

/// What all others are together.
const OTHER: &str = "other";

type Times<L> = Family<L, Histogram>;

/// A counter of dollars.
type Money = Counter<f64, AtomicU64>;

/// All metrics of a server.
pub(super) struct Families {
    pub(super) active: Gauge,
    pub(super) queued: Gauge,
    pub(super) followers: Gauge,
    pub(super) resumed: Counter,
    pub(super) parked: Counter,
    pub(super) resets: Counter,
    pub(super) circles: Counter,
    pub(super) commit_seconds: Histogram,
    runs: Family<OutcomeLabels, Counter>,
    run_seconds: Times<OutcomeLabels>,
    stage_seconds: Times<StageLabels>,
    replies: Family<Model, Counter>,
    reply_seconds: Times<Model>,
    tokens: Family<TokenLabels, Counter>,
    usd: Family<Model, Money>,
    calls: Family<CallLabels, Counter>,
    call_seconds: Times<ServerLabels>,
    restarts: Family<ServerLabels, Counter>,
    sandboxes: Family<KindLabels, Counter>,
    checks: Family<CheckLabels, Counter>,
    errors: Family<ErrorLabels, Counter>,
    models: Mutex<HashSet<Model>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
    /// The kind of a failure, else empty.
    failure: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabels {
    stage: String,
}

/// A row and the name of its model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Model {
    provider: String,
    model: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenLabels {
    provider: String,
    model: String,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServerLabels {
    server: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    server: String,
    is_error: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CheckLabels {
    phase: &'static str,
    passed: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    kind: &'static str,
    retrying: &'static str,
}

impl Families {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let families = Self {
            active: Gauge::default(),
            queued: Gauge::default(),
            followers: Gauge::default(),
            resumed: Counter::default(),
            parked: Counter::default(),
            resets: Counter::default(),
            circles: Counter::default(),
            commit_seconds: Histogram::new(exponential_buckets(0.0005, 2.0, 14)),
            runs: Family::default(),
            run_seconds: Family::new_with_constructor(minutes),
            stage_seconds: Family::new_with_constructor(minutes),
            replies: Family::default(),
            reply_seconds: Family::new_with_constructor(minutes),
            tokens: Family::default(),
            usd: Family::default(),
            calls: Family::default(),
            call_seconds: Family::new_with_constructor(minutes),
            restarts: Family::default(),
            sandboxes: Family::default(),
            checks: Family::default(),
            errors: Family::default(),
            models: Mutex::default(),
        };
        families.list(registry);
        families
    }

    fn list(&self, registry: &mut Registry) {
        let s = Unit::Seconds;
        registry.register("runs_active", "Runs under way here", self.active.clone());
        registry.register(
            "runs_queued",
            "Those of them that wait for a place; how long they do is their time in the stage queued",
            self.queued.clone(),
        );
        registry.register(
            "runs_resumed",
            "Times that a run was gone on with here after another owner",
            self.resumed.clone(),
        );
        registry.register(
            "runs_parked",
            "Times that a run was put aside here until its forge takes requests again",
            self.parked.clone(),
        );
        registry.register(
            "followers",
            "Clients that follow a run's stream",
            self.followers.clone(),
        );
        registry.register("runs", "Runs that ended", self.runs.clone());
        registry.register_with_unit(
            "run",
            "From a run's first event to its last",
            s.clone(),
            self.run_seconds.clone(),
        );
        registry.register_with_unit(
            "stage",
            "How long a run was in a stage",
            s.clone(),
            self.stage_seconds.clone(),
        );
        registry.register(
            "model_replies",
            "Complete replies of a model",
            self.replies.clone(),
        );
        registry.register_with_unit(
            "model_reply",
            "From a request to the end of its reply",
            s.clone(),
            self.reply_seconds.clone(),
        );
        registry.register(
            "model_tokens",
            "Tokens, by what they are",
            self.tokens.clone(),
        );
        registry.register("model_usd", "Cost in US dollars", self.usd.clone());
        registry.register(
            "conversation_resets",
            "Conversations that started anew",
            self.resets.clone(),
        );
        registry.register(
            "circles",
            "Times that a model was found to go in circles",
            self.circles.clone(),
        );
        registry.register("tool_calls", "Calls of tools", self.calls.clone());
        registry.register_with_unit(
            "tool_call",
            "How long a call of a tool took",
            s.clone(),
            self.call_seconds.clone(),
        );
        registry.register(
            "tool_server_restarts",
            "Tool servers that were lost and are back",
            self.restarts.clone(),
        );
        registry.register("sandboxes", "Sandboxes opened", self.sandboxes.clone());
        registry.register("checks", "Checks that ran", self.checks.clone());
        registry.register(
            "errors",
            "What went wrong in runs, and whether it was tried again",
            self.errors.clone(),
        );
        registry.register_with_unit(
            "store_commit",
            "How long the store took to commit events",
            s,
            self.commit_seconds.clone(),
        );
    }

    pub(super) fn ended(&self, outcome: Outcome, time: Option<f64>) {
        let labels = OutcomeLabels {
            outcome: outcome_name(outcome),
            failure: match outcome {
                Outcome::Failed(kind) => kind.as_str(),
                _ => "",
            },
        };
        if let Some(time) = time {
            self.run_seconds.get_or_create(&labels).observe(time);
        }
        self.runs.get_or_create(&labels).inc();
    }

    pub(super) fn left(&self, stage: Stage, time_ms: u64) {
        let labels = StageLabels {
            stage: json!(stage).as_str().unwrap_or_default().to_owned(),
        };
        let times = self.stage_seconds.get_or_create(&labels);
        times.observe(seconds(time_ms));
    }

    pub(super) fn replied(
        &self,
        model: &Model,
        usage: &TokenUsage,
        usd: Option<f64>,
        time_ms: u64,
    ) {
        self.replies.get_or_create(model).inc();
        let times = self.reply_seconds.get_or_create(model);
        times.observe(seconds(time_ms));
        self.paid(model, usage, usd);
    }

    /// Counts what a reply cost, whether it is there or not.
    pub(super) fn paid(&self, model: &Model, usage: &TokenUsage, usd: Option<f64>) {
        if let Some(usd) = usd {
            self.usd.get_or_create(model).inc_by(usd);
        }
        for (kind, tokens) in [
            ("input", usage.input_tokens),
            ("cached", usage.cached_tokens),
            ("cache_write", usage.cache_write_tokens),
            ("output", usage.output_tokens),
        ] {
            let labels = TokenLabels {
                provider: model.provider.clone(),
                model: model.model.clone(),
                kind,
            };
            self.tokens.get_or_create(&labels).inc_by(tokens);
        }
    }

    /// The labels of a model; those beyond a bounded number have one name together.
    pub(super) fn bounded(&self, provider: String, model: String) -> Model {
        let model = Model { provider, model };
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        if models.contains(&model) || models.len() < MAX_MODELS {
            models.insert(model.clone());
            return model;
        }
        Model {
            model: OTHER.to_owned(),
            ..model
        }
    }

    pub(super) fn answered(&self, server: String, is_error: bool, time_ms: u64) {
        let labels = CallLabels {
            server: server.clone(),
            is_error: yes_or_no(is_error),
        };
        self.calls.get_or_create(&labels).inc();
        let times = self.call_seconds.get_or_create(&ServerLabels { server });
        times.observe(seconds(time_ms));
    }

    pub(super) fn restarted(&self, server: String) {
        self.restarts.get_or_create(&ServerLabels { server }).inc();
    }

    pub(super) fn opened(&self, kind: String) {
        self.sandboxes.get_or_create(&KindLabels { kind }).inc();
    }

    pub(super) fn checked(&self, phase: CheckPhase, passed: bool) {
        let labels = CheckLabels {
            phase: match phase {
                CheckPhase::Before => "before",
                CheckPhase::After => "after",
            },
            passed: yes_or_no(passed),
        };
        self.checks.get_or_create(&labels).inc();
    }

    pub(super) fn went_wrong(&self, kind: FailureKind, retrying: bool) {
        let labels = ErrorLabels {
            kind: kind.as_str(),
            retrying: yes_or_no(retrying),
        };
        self.errors.get_or_create(&labels).inc();
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "2^53 milliseconds are longer than any run"
)]
pub(super) fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1000.0
}

/// From a twentieth of a second to more than an hour.
fn minutes() -> Histogram {
    Histogram::new(exponential_buckets(0.05, 2.0, 17))
}

fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::PullRequest => "pull_request",
        Outcome::BranchOnly => "branch_only",
        Outcome::PatchOnly => "patch_only",
        Outcome::NoChanges => "no_changes",
        Outcome::Failed(_) => "failed",
        Outcome::Cancelled => "cancelled",
        Outcome::BudgetReached => "budget_reached",
    }
}

fn yes_or_no(is_so: bool) -> &'static str {
    if is_so { "true" } else { "false" }
}
