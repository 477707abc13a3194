//! How a sandbox at Modal begins and ends.
//!
//! A sandbox costs money until it is ended, so it is written down before Modal is asked for it, and made
//! and ended in the background: whoever asked may be gone when Modal answers.

use std::sync::Arc;
use std::time::Duration;

use pullwright_core::sandbox::SandboxNotice;
use pullwright_protocol::RunId;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::RECORD_TAG;
use super::background::Background;
use super::calls::{CREATE_TIMEOUT, SandboxRef, create, tagged, terminate, used};
use super::control::Control;
use super::error::ModalError;
use super::records::{Note, Record, Records};
use super::wire::client::{SandboxCreateV2Request, SandboxCreateV2Response, SandboxTag};

/// How long after its time a sandbox may still appear that nobody heard of.
const SLACK: Duration = Duration::from_secs(60);

/// How long Modal may take to say what a sandbox used: it costs money for as long as that takes.
const USAGE_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a sandbox that could not be ended is tried again, and how long apart.
const AGAIN: u32 = 60;
const AGAIN_PAUSE: Duration = Duration::from_secs(60);

/// The sandboxes of this server.
pub(super) struct Lifecycle {
    pub(super) control: Arc<Control>,
    records: Records,
    background: Background,
}

/// A sandbox that is there and ours. Dropping it ends the sandbox.
pub(super) struct OwnedSandbox {
    lifecycle: Arc<Lifecycle>,
    run: RunId,
    /// Nothing once its end has begun.
    sandbox: Option<SandboxRef>,
    /// Gone once the sandbox is.
    record: Option<Record>,
}

impl Lifecycle {
    pub(super) fn new(control: Control, records: Records) -> Arc<Self> {
        Arc::new(Self {
            control: Arc::new(control),
            records,
            background: Background::default(),
        })
    }

    /// Makes a sandbox for a run. Where nobody waits for it any more it is ended.
    pub(super) async fn create(
        self: &Arc<Self>,
        run: &RunId,
        request: SandboxCreateV2Request,
    ) -> Result<(SandboxCreateV2Response, OwnedSandbox), ModalError> {
        let (answer, answered) = oneshot::channel();
        let given_up = CancellationToken::new();
        let _waiting = given_up.clone().drop_guard();
        let making = Making {
            lifecycle: Arc::clone(self),
            run: run.clone(),
            record: self.records.announce_or_warn(run),
        };
        self.background
            .spawn(run, making.make(request, given_up, answer));
        let broke = |_| ModalError::Ended("making it broke off".to_owned());
        answered.await.map_err(broke)?
    }

    /// Takes over the sandbox of a server that died, which wrote it down in `record`.
    ///
    /// # Errors
    /// Another server has it.
    pub(super) fn take_over(
        self: &Arc<Self>,
        run: &RunId,
        sandbox_id: &str,
        record: &str,
    ) -> Result<OwnedSandbox, ModalError> {
        let note = Note {
            run: run.clone(),
            sandbox_id: Some(sandbox_id.to_owned()),
        };
        Ok(OwnedSandbox {
            record: self.records.take_over(record, &note)?,
            lifecycle: Arc::clone(self),
            run: run.clone(),
            sandbox: Some(SandboxRef::found(sandbox_id)),
        })
    }

    /// The runs of which servers that died have left something.
    pub(super) fn deserted(&self) -> Vec<RunId> {
        let mut runs: Vec<RunId> = self.records.deserted().map(|(note, _)| note.run).collect();
        runs.dedup();
        runs
    }

    /// Begins to end what servers that died have left of a run.
    pub(super) fn end_deserted(self: &Arc<Self>, run: &RunId) {
        for (note, record) in self.records.deserted().filter(|(note, _)| note.run == *run) {
            tracing::info!(run = %note.run, "a sandbox of a server that died is ended at Modal");
            let (lifecycle, run) = (Arc::clone(self), note.run.clone());
            self.background.spawn(&run, async move {
                if lifecycle.is_gone(&note, &record).await {
                    record.remove();
                }
            });
        }
    }

    /// Ends what could not be ended, as soon as that can be. Nobody waits for it: a process that ends
    /// leaves it to the next one.
    fn try_again(self: &Arc<Self>, note: Note, record: Record) {
        let (lifecycle, Ok(runtime)) = (Arc::clone(self), Handle::try_current()) else {
            return;
        };
        runtime.spawn(async move {
            for _ in 0..AGAIN {
                tokio::time::sleep(AGAIN_PAUSE).await;
                if lifecycle.is_gone(&note, &record).await {
                    record.remove();
                    return;
                }
            }
        });
    }

    /// Ends what a record tells of, and says whether that is settled.
    async fn is_gone(&self, note: &Note, record: &Record) -> bool {
        match &note.sandbox_id {
            Some(id) => terminate(&self.control, &SandboxRef::found(id)).await,
            None => match self.end_tagged(record).await {
                // Modal may still be looking for a machine; the next start looks again.
                Some(0) => record.age() > CREATE_TIMEOUT + SLACK,
                found => found.is_some(),
            },
        }
    }

    /// Waits until what was begun for a run is made or ended.
    pub(super) async fn over(&self, run: &RunId) {
        self.background.over(run).await;
    }

    /// Ends what was made for a record, and says how many there were unless it is not known.
    async fn end_tagged(&self, record: &Record) -> Option<usize> {
        let found = tagged(&self.control, tag(record)).await;
        let found = found.inspect_err(|error| {
            tracing::warn!(%error, "cannot find out whether Modal made a sandbox");
        });
        let ids = found.ok()?;
        for id in &ids {
            if !terminate(&self.control, &SandboxRef::found(id)).await {
                return None;
            }
        }
        Some(ids.len())
    }
}

impl OwnedSandbox {
    /// What finds it again after a crash; nothing where it could not be written down.
    pub(super) fn record(&self) -> Option<&str> {
        self.record.as_ref().map(Record::name)
    }

    /// Ends it, which goes on where nobody waits for it. Answers whether it is gone.
    pub(super) async fn end(mut self) -> bool {
        self.begin_to_end(None).await
    }

    /// The same, after `notices` are told what it used.
    pub(super) async fn end_and_tell(
        mut self,
        notices: Option<mpsc::Sender<SandboxNotice>>,
    ) -> bool {
        self.begin_to_end(notices).await
    }

    /// Lets another server take it over.
    pub(super) fn leave(mut self) {
        self.sandbox = None;
        self.record = None;
    }

    fn begin_to_end(
        &mut self,
        notices: Option<mpsc::Sender<SandboxNotice>>,
    ) -> impl Future<Output = bool> + use<> {
        let (tell, ended) = oneshot::channel();
        if let Some(sandbox) = self.sandbox.take() {
            let (lifecycle, record) = (Arc::clone(&self.lifecycle), self.record.take());
            let note = Note {
                run: self.run.clone(),
                sandbox_id: Some(sandbox.id.clone()),
            };
            self.lifecycle.background.spawn(&self.run, async move {
                if let Some(notices) = notices {
                    tell_usage(&lifecycle.control, &sandbox, &notices).await;
                }
                let is_ended = terminate(&lifecycle.control, &sandbox).await;
                match record {
                    Some(record) if is_ended => record.remove(),
                    Some(record) => lifecycle.try_again(note, record),
                    None => {}
                }
                // Nobody may wait for it.
                let _ = tell.send(is_ended);
            });
        }
        async move { ended.await.unwrap_or(false) }
    }
}

impl Drop for OwnedSandbox {
    fn drop(&mut self) {
        drop(self.begin_to_end(None));
    }
}

/// Tells what Modal will write on its bill, where Modal knows it.
async fn tell_usage(
    control: &Control,
    sandbox: &SandboxRef,
    notices: &mpsc::Sender<SandboxNotice>,
) {
    let telling = async {
        match used(control, sandbox).await {
            // The run may have stopped to listen.
            Ok(used) => drop(notices.send(SandboxNotice::Used(used)).await),
            Err(error) => tracing::info!(%error, "Modal does not say what a sandbox used"),
        }
    };
    if tokio::time::timeout(USAGE_TIMEOUT, telling).await.is_err() {
        tracing::info!("Modal takes long to say what a sandbox used");
    }
}

/// A sandbox that is being made.
struct Making {
    lifecycle: Arc<Lifecycle>,
    run: RunId,
    record: Option<Record>,
}

type Made = Result<(SandboxCreateV2Response, OwnedSandbox), ModalError>;

impl Making {
    async fn make(
        mut self,
        mut request: SandboxCreateV2Request,
        given_up: CancellationToken,
        answer: oneshot::Sender<Made>,
    ) {
        request.tags.extend(self.record.as_ref().map(tag));
        let lifecycle = Arc::clone(&self.lifecycle);
        match create(&lifecycle.control, request, given_up).await {
            Ok(made) => {
                let owned = self.own(&made);
                if let Err(Ok((_, owned))) = answer.send(Ok((made, owned))) {
                    owned.end().await;
                }
            }
            Err(error) => {
                let is_open = matches!(error, ModalError::Call { is_open: true, .. });
                // Whoever waits need not wait for what follows.
                let _ = answer.send(Err(error));
                self.clean_up(is_open).await;
            }
        }
    }

    fn own(&mut self, made: &SandboxCreateV2Response) -> OwnedSandbox {
        if let Some(record) = &mut self.record {
            record.name_sandbox(&self.run, &made.sandbox_id);
        }
        OwnedSandbox {
            lifecycle: Arc::clone(&self.lifecycle),
            run: self.run.clone(),
            sandbox: Some(SandboxRef::made(made)),
            record: self.record.take(),
        }
    }

    /// Ends what Modal may have made all the same, and what comes even later.
    async fn clean_up(self, is_open: bool) {
        let Some(record) = self.record else {
            return;
        };
        let is_settled = match is_open {
            true => self.lifecycle.end_tagged(&record).await > Some(0),
            false => true,
        };
        if is_settled {
            record.remove();
            return;
        }
        let note = Note {
            run: self.run,
            sandbox_id: None,
        };
        self.lifecycle.try_again(note, record);
    }
}

/// What is written on the sandbox of a record.
fn tag(record: &Record) -> SandboxTag {
    SandboxTag {
        tag_name: RECORD_TAG.to_owned(),
        tag_value: record.name().to_owned(),
    }
}
