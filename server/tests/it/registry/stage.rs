//! A store, servers on it, and runs that do what their prompt says.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use pullwright::metrics::{Metrics, ObservedStore};
use pullwright::runs::{Caller, Execute, Runs, RunsConfig, StartError};
use pullwright::store::SqliteStore;
use pullwright::traces::Traces;
use pullwright_core::run::{Executed, OwnedRun};
use pullwright_core::store::{NewRun, RunRecord, RunStore};
use pullwright_protocol::{
    Event, FailureKind, LoggedEvent, Outcome, RunId, RunRequest, Stage as RunStage,
};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::support::{done, id, in_time, request, status};

/// A store that several servers may use.
pub(crate) struct Stage {
    pub(crate) store: Arc<dyn RunStore>,
    /// Where it is, if it is in a file.
    _folder: Option<TempDir>,
}

/// A server without HTTP.
pub(crate) struct Server {
    pub(crate) runs: Runs,
    pub(crate) actor: Arc<Actor>,
}

/// Carries out runs: `wait` until told to end, cancelled or handed over; `stubborn` is handed over only when
/// interrupted; `deaf` only ends when told to; `aside` is put aside once, for no time, and then ends well.
pub(crate) struct Actor {
    store: Arc<dyn RunStore>,
    scenes: watch::Sender<HashMap<RunId, Scene>>,
    cleaned: Mutex<Vec<RunId>>,
    leftovers: Mutex<Vec<RunId>>,
}

/// A run that has begun here.
#[derive(Clone)]
struct Scene {
    owned: OwnedRun,
    end: CancellationToken,
    is_over: bool,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::counted_by(Metrics::default()).await
    }

    pub(crate) async fn counted_by(metrics: Metrics) -> Self {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("runs.sqlite");
        let store = SqliteStore::open(path).await.expect("open");
        Self {
            store: Arc::new(ObservedStore::new(
                Arc::new(store),
                metrics,
                Traces::default(),
            )),
            _folder: Some(folder),
        }
    }

    /// On a store that others may use, too.
    pub(crate) fn on(store: Arc<dyn RunStore>) -> Self {
        Self {
            store,
            _folder: None,
        }
    }

    pub(crate) fn server(&self, config: RunsConfig) -> Server {
        let actor = Arc::new(Actor {
            store: Arc::clone(&self.store),
            scenes: watch::Sender::default(),
            cleaned: Mutex::default(),
            leftovers: Mutex::default(),
        });
        let validate = Arc::new(|_: &RunRequest| Ok(()));
        let runs = Runs::new(
            Arc::clone(&self.store),
            Arc::clone(&actor) as _,
            validate,
            config,
        );
        Server { runs, actor }
    }

    /// A run whose owner died after `events` events.
    pub(crate) async fn orphan(&self, run: &str, prompt: &str, events: u64) -> RunId {
        let run = self.create(run, prompt).await;
        let claimed = self.store.claim(&run, "dead", Duration::ZERO).await;
        let epoch = claimed.expect("claim");
        let events: Vec<_> = (1..=events).map(|n| status(n, "before")).collect();
        let append = self.store.append(&run, epoch, events);
        append.await.expect("append");
        run
    }

    pub(crate) async fn create(&self, run: &str, prompt: &str) -> RunId {
        let new = NewRun {
            id: id(run),
            request: request(prompt),
            owner: None,
            idempotency_key: None,
            at_ms: 1000,
            sealed_token: None,
        };
        self.store.create(new).await.expect("create");
        id(run)
    }

    pub(crate) async fn record(&self, run: &RunId) -> RunRecord {
        let record = self.store.get(run).await.expect("get");
        record.expect("a record")
    }

    pub(crate) async fn events(&self, run: &RunId) -> Vec<LoggedEvent> {
        self.store.read(run, 0, 10_000).await.expect("read")
    }

    /// What the run has said about the queue.
    pub(crate) async fn said_of_the_queue(&self, run: &RunId) -> Vec<String> {
        let events = self.events(run).await.into_iter();
        let said = events.filter_map(|logged| match logged.event {
            Event::Status {
                stage: RunStage::Queued,
                message,
            } => Some(message),
            _ => None,
        });
        said.collect()
    }

    /// Waits until the run's log is as wanted.
    pub(crate) async fn until(&self, run: &RunId, wanted: impl Fn(&[LoggedEvent]) -> bool) {
        let mut hint = self.store.watch(run);
        let waiting = async {
            while !wanted(&self.events(run).await) {
                hint.changed().await.expect("a hint");
            }
        };
        in_time(waiting).await;
    }

    pub(crate) async fn until_said(&self, run: &RunId, sentence: &str) {
        let is_it = |logged: &LoggedEvent| matches!(&logged.event, Event::Status { message, .. } if message == sentence);
        self.until(run, |events| events.iter().any(is_it)).await;
    }

    pub(crate) async fn until_ended(&self, run: &RunId) -> Outcome {
        let is_done = |logged: &LoggedEvent| matches!(logged.event, Event::Done { .. });
        self.until(run, |events| events.last().is_some_and(is_done))
            .await;
        let events = self.events(run).await;
        let numbers = events.iter().map(|logged| logged.seq);
        assert!(numbers.eq(1..=events.len() as u64), "{events:?}");
        self.record(run).await.outcome.expect("it has ended")
    }
}

impl Server {
    pub(crate) async fn start(&self, prompt: &str) -> RunId {
        self.start_by(Caller::default(), request(prompt)).await
    }

    pub(crate) async fn start_by(&self, caller: Caller, request: RunRequest) -> RunId {
        let started = self.runs.start(request, None, caller).await;
        started.expect("start").id
    }

    /// Starts a run as soon as there is a seat for it.
    pub(crate) async fn start_in_time(&self, prompt: &str) -> RunId {
        let starting = async {
            loop {
                let started = self.runs.start(request(prompt), None, Caller::default());
                match started.await {
                    Ok(started) => return started.id,
                    Err(StartError::Refused(_)) => tokio::task::yield_now().await,
                    Err(error) => panic!("{error}"),
                }
            }
        };
        in_time(starting).await
    }

    pub(crate) async fn refused(&self) -> pullwright::api::ApiProblem {
        let started = self.runs.start(request("wait"), None, Caller::default());
        match started.await {
            Err(StartError::Refused(problem)) => problem,
            other => panic!("not refused: {other:?}"),
        }
    }

    pub(crate) async fn recover(&self) -> usize {
        self.runs.recover().await.expect("recover")
    }
}

impl Actor {
    /// Waits until the run has begun here, and answers how it was taken.
    pub(crate) async fn until_begun(&self, run: &RunId) -> OwnedRun {
        let mut scenes = self.scenes.subscribe();
        let begun = in_time(scenes.wait_for(|scenes| scenes.contains_key(run))).await;
        begun.expect("scenes")[run].owned.clone()
    }

    pub(crate) fn has_begun(&self, run: &RunId) -> bool {
        self.scenes.borrow().contains_key(run)
    }

    /// Lets a run end well.
    pub(crate) fn end(&self, run: &RunId) {
        self.scenes.borrow()[run].end.cancel();
    }

    pub(crate) fn begun(&self) -> Vec<RunId> {
        self.scenes.borrow().keys().cloned().collect()
    }

    /// How many are being carried out.
    pub(crate) fn at_work(&self) -> usize {
        let scenes = self.scenes.borrow();
        scenes.values().filter(|scene| !scene.is_over).count()
    }

    pub(crate) fn cleaned(&self) -> Vec<RunId> {
        self.cleaned.lock().expect("a lock").clone()
    }

    /// Has something of these runs lie here.
    pub(crate) fn leave(&self, runs: Vec<RunId>) {
        *self.leftovers.lock().expect("a lock") = runs;
    }

    async fn act(&self, owned: &OwnedRun, end: &CancellationToken) -> Executed {
        let seq = owned.last_seq + 1;
        let working = vec![status(seq, "working")];
        let append = self.store.append(&owned.id, owned.epoch, working);
        append.await.expect("append");
        let prompt = owned.request.prompt.as_str();
        if prompt == "aside" && !owned.is_resumed {
            return Executed::Parked(Duration::ZERO);
        }
        let hand_over = match prompt {
            "wait" => &owned.hand_over.soon,
            "stubborn" => &owned.hand_over.now,
            "deaf" | "aside" => &CancellationToken::new(),
            other => panic!("unknown play {other}"),
        };
        let is_deaf = prompt == "deaf";
        let outcome = tokio::select! {
            biased;
            () = std::future::ready(()), if owned.is_given_up => {
                Outcome::Failed(FailureKind::Interrupted)
            }
            () = std::future::ready(()), if prompt == "aside" => Outcome::NoChanges,
            () = end.cancelled() => Outcome::NoChanges,
            () = owned.cancel.cancelled(), if !is_deaf => Outcome::Cancelled,
            () = hand_over.cancelled() => return Executed::HandedOver,
        };
        let finish = self
            .store
            .finish(&owned.id, owned.epoch, outcome, done(seq + 1, outcome));
        // Another server may have the run by now.
        let _ = finish.await;
        Executed::Ended
    }
}

#[async_trait]
impl Execute for Actor {
    async fn execute(&self, owned: OwnedRun) -> Executed {
        let scene = Scene {
            owned: owned.clone(),
            end: CancellationToken::new(),
            is_over: false,
        };
        let (run, end) = (owned.id.clone(), scene.end.clone());
        self.scenes.send_modify(|scenes| {
            let before = scenes.insert(run.clone(), scene);
            assert!(
                before.is_none_or(|before| before.is_over),
                "{run} is carried out twice"
            );
        });
        let executed = self.act(&owned, &end).await;
        self.scenes.send_modify(|scenes| {
            if let Some(scene) = scenes.get_mut(&run) {
                scene.is_over = true;
            }
        });
        executed
    }

    async fn clean_up(&self, run: &RunId) {
        self.cleaned.lock().expect("a lock").push(run.clone());
    }

    fn leftovers(&self) -> Vec<RunId> {
        self.leftovers.lock().expect("a lock").clone()
    }
}

/// One place, and room for so many more to wait.
pub(crate) fn one_place(max_queued: usize) -> RunsConfig {
    RunsConfig {
        max_concurrent: 1,
        max_queued,
        ..RunsConfig::default()
    }
}

pub(crate) fn named(name: &str) -> Caller {
    Caller {
        name: Some(name.to_owned()),
        max_concurrent: None,
    }
}
