//! What goes wrong, where a test wants it to.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prost::Message as _;
use pullwright_sandbox::modal::wire::client::{RpcRetryPolicy, RpcStatus};
use tokio::sync::watch;
use tonic::{Code, Status};

/// One thing that goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// The call fails before anything is done.
    Status(Code),
    /// The work is done, but the answer is lost.
    Lost(Code),
    /// The server is busy and says how long, if it does.
    Busy(Option<f32>),
    /// The call is late, and nothing is done before.
    Late(Duration),
    /// The work itself takes this long, whether or not somebody waits for it. It is for calls that make
    /// something.
    Slow(Duration),
}

#[derive(Debug)]
pub(crate) struct Faults {
    next: Mutex<BTreeMap<String, VecDeque<Fault>>>,
    cuts: watch::Sender<u64>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            next: Mutex::default(),
            cuts: watch::channel(0).0,
        }
    }
}

impl Faults {
    pub(crate) fn add(&self, name: &str, faults: impl IntoIterator<Item = Fault>) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        next.entry(name.to_owned()).or_default().extend(faults);
    }

    /// The next fault of a call, where it is one of its work and that is what `of_work` asks for, or neither.
    fn take(&self, name: &str, of_work: bool) -> Option<Fault> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let faults = next.get_mut(name)?;
        let is_of_work = matches!(faults.front()?, Fault::Slow(_));
        (is_of_work == of_work).then(|| faults.pop_front())?
    }

    /// Lets a call go wrong before its work; answers what is to go wrong after it.
    pub(crate) async fn before(&self, name: &str) -> Result<Option<Status>, Status> {
        match self.take(name, false) {
            None | Some(Fault::Slow(_)) => Ok(None),
            Some(Fault::Status(code)) => Err(Status::new(code, "as the test wants it")),
            Some(Fault::Lost(code)) => Ok(Some(Status::new(code, "the answer is lost"))),
            Some(Fault::Busy(wait)) => Err(busy(wait)),
            Some(Fault::Late(time)) => {
                tokio::time::sleep(time).await;
                Ok(None)
            }
        }
    }

    /// Takes as long as the work is to take.
    pub(crate) async fn during(&self, name: &str) {
        if let Some(Fault::Slow(time)) = self.take(name, true) {
            tokio::time::sleep(time).await;
        }
    }

    pub(crate) fn cut_streams(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Changes when streams are cut.
    pub(crate) fn cuts(&self) -> watch::Receiver<u64> {
        self.cuts.subscribe()
    }
}

fn busy(wait: Option<f32>) -> Status {
    let Some(retry_after_secs) = wait else {
        return Status::resource_exhausted("too much at once");
    };
    let policy = RpcRetryPolicy { retry_after_secs };
    let status = RpcStatus {
        code: Code::ResourceExhausted.into(),
        message: "too much at once".to_owned(),
        details: vec![prost_types::Any {
            type_url: "type.modal.com/modal.client.RPCRetryPolicy".to_owned(),
            value: policy.encode_to_vec(),
        }],
    };
    let details = status.encode_to_vec().into();
    Status::with_details(Code::ResourceExhausted, "too much at once", details)
}
