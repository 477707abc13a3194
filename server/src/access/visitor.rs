//! Who calls, and what that one may do.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use pullwright_core::store::RunRecord;
use pullwright_protocol::RunRequest;
use tokio::sync::watch;

use super::audit::{Action, AuditEntry};
use super::grant::{Scope, forbidden};
use super::key::Key;
use super::standing::Over;
use crate::problem::ApiProblem;
use crate::runs::Caller;

/// Who calls, and from where.
#[derive(Clone, Debug)]
pub struct Visitor {
    key: Who,
    address: IpAddr,
    is_unheard: bool,
}

#[derive(Clone, Debug)]
enum Who {
    /// Somebody where no keys are needed: everything is theirs.
    Anybody,
    Key(Arc<Key>, watch::Receiver<Over>),
    /// Somebody whom nobody let in: nothing is theirs.
    Stranger,
}

impl Visitor {
    pub(super) fn anybody(address: IpAddr) -> Self {
        Self {
            key: Who::Anybody,
            address,
            is_unheard: false,
        }
    }

    pub(super) fn with_key(key: Key, address: IpAddr, over: watch::Receiver<Over>) -> Self {
        Self {
            key: Who::Key(Arc::new(key), over),
            address,
            is_unheard: false,
        }
    }

    /// The same visitor, once it is known whether others may have read along.
    pub(super) fn unheard(mut self, is_unheard: bool) -> Self {
        self.is_unheard = is_unheard;
        self
    }

    /// Whether nobody on the way can have read the request: it came over TLS, or from this machine.
    #[must_use]
    pub fn is_unheard(&self) -> bool {
        self.is_unheard
    }

    /// Waits until the visitor's key is over, if it has one.
    pub fn until_over(&self) -> impl Future<Output = ()> + Send + use<> {
        let key = match &self.key {
            Who::Key(key, over) => Some((key.id.clone(), over.clone())),
            _ => None,
        };
        async move {
            let over = match key {
                Some((id, mut over)) => over.wait_for(|over| over.contains(&id)).await.is_ok(),
                None => false,
            };
            if !over {
                std::future::pending().await
            }
        }
    }

    /// Refuses a visitor whose key has none of `scopes`.
    ///
    /// # Errors
    /// What the caller is told, with status 403.
    pub fn needs(&self, scopes: &[Scope]) -> Result<(), ApiProblem> {
        let key = match &self.key {
            Who::Anybody => return Ok(()),
            Who::Key(key, _) => key,
            Who::Stranger => return Err(forbidden("this is for others".to_owned())),
        };
        if scopes.iter().any(|scope| key.grant.scopes.contains(scope)) {
            return Ok(());
        }
        let wanted: Vec<String> = scopes.iter().map(|scope| format!("`{scope}`")).collect();
        Err(forbidden(format!(
            "the API key `{}` lacks the scope {}; a key with it is made by `pullwright keys create`",
            key.name,
            wanted.join(" or ")
        )))
    }

    /// Whether the run is this visitor's to see.
    #[must_use]
    pub fn sees(&self, run: &RunRecord) -> bool {
        match (&self.key, self.owner()) {
            (Who::Stranger, _) => false,
            (_, Some(owner)) => run.owner.as_deref() == Some(owner),
            (_, None) => true,
        }
    }

    /// Refuses a visitor to whom a run does not belong, and who may see it all the same.
    ///
    /// # Errors
    /// What the caller is told, with status 403.
    pub fn owns(&self, run: &RunRecord) -> Result<(), ApiProblem> {
        let owner = run.owner.as_deref();
        if matches!(self.key, Who::Anybody) || owner == self.name() {
            return Ok(());
        }
        let whose = owner.map_or("nobody's key".to_owned(), |name| {
            format!("the key `{name}`")
        });
        Err(forbidden(format!(
            "run `{}` belongs to {whose}, and only its owner can have its change gone on with; start a run of \
             your own",
            run.id
        )))
    }

    /// Whose runs this visitor sees; those of all if absent.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        match &self.key {
            Who::Key(key, _) if !key.grant.scopes.contains(&Scope::Admin) => Some(&key.name),
            _ => None,
        }
    }

    /// Holds a request to what the visitor's key is granted.
    ///
    /// # Errors
    /// What the caller is told, with status 403.
    pub fn narrow(&self, request: &mut RunRequest) -> Result<(), ApiProblem> {
        match &self.key {
            Who::Key(key, _) => key.grant.narrow(&key.name, request),
            _ => Ok(()),
        }
    }

    /// As the registry of runs knows it.
    #[must_use]
    pub fn caller(&self) -> Caller {
        match &self.key {
            Who::Key(key, _) => Caller {
                name: Some(key.name.clone()),
                max_concurrent: key.grant.max_concurrent,
            },
            _ => Caller::default(),
        }
    }

    /// An entry for the record: this visitor did something now.
    #[must_use]
    pub fn did(&self, action: Action) -> AuditEntry {
        AuditEntry::now(self.name(), action).from(self.address)
    }

    fn name(&self) -> Option<&str> {
        match &self.key {
            Who::Key(key, _) => Some(&key.name),
            _ => None,
        }
    }
}

/// A route without the gate before it has only strangers.
impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let visitor = parts.extensions.get::<Self>().cloned();
        Ok(visitor.unwrap_or(Self {
            key: Who::Stranger,
            address: IpAddr::from([0, 0, 0, 0]),
            is_unheard: false,
        }))
    }
}
