//! Keeps a tool server connected, and its list of tools honest.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rmcp::model::Tool;
use tokio_util::sync::CancellationToken;

use super::connection::Connection;
use super::dial::{Era, dial};
use super::error::ToolServerError;
use super::listing::compare;
use super::offer::{held_back, partition, refusals, review, unknown_names};
use super::options::ToolServerOptions;
use super::restarts::{MAX_RESTARTS, RESTART_WINDOW, Restarts};
use super::{Shared, State};
use crate::tools::approval::Approval;
use crate::tools::connector::Connector;
use crate::tools::notice::{ListChange, ToolNotice};

/// The pause after a list was read again: a server that says without end that its list has changed
/// would keep us reading.
const RELIST_PAUSE: Duration = Duration::from_secs(1);

/// A first connection, and what it showed.
pub(super) struct First {
    pub(super) connection: Connection,
    /// What is offered, and stays so.
    pub(super) tools: Vec<Tool>,
    /// What the server lists but is not offered.
    pub(super) hidden: Vec<String>,
    pub(super) refusals: BTreeMap<String, String>,
    pub(super) notices: Vec<ToolNotice>,
}

/// Connects for the first time.
pub(super) async fn first(
    options: &ToolServerOptions,
    connector: &dyn Connector,
    approval: &Arc<dyn Approval>,
) -> Result<First, ToolServerError> {
    let connection = dial(options, connector, None).await?;
    let failed = |reason: String| ToolServerError::startup(&options.name, reason);
    let listed = connection.list().await.map_err(failed)?;
    let mut notices = unknown_names(options, &listed);
    let (mut offered, mut hidden) = partition(options, listed);
    let withheld = review(options, approval, &offered).await.map_err(failed)?;
    let is_withheld = |tool: &Tool| withheld.iter().any(|held| held.tool == tool.name);
    hidden.extend(withheld.iter().map(|held| held.tool.clone()));
    offered.retain(|tool| !is_withheld(tool));
    let refusals = held_back(&withheld).collect();
    if !withheld.is_empty() {
        notices.push(ToolNotice::Withheld(withheld));
    }
    Ok(First {
        connection,
        tools: offered,
        hidden,
        refusals,
        notices,
    })
}

/// Replaces the connection when it ends, and reads the list again when it changes.
pub(super) async fn supervise(shared: Arc<Shared>, hidden: Vec<String>) {
    let mut supervisor = Supervisor {
        era: None,
        restarts: Restarts::default(),
        hidden,
        told: ListChange::default(),
        shared,
    };
    while let Some(connection) = supervisor.shared.up() {
        supervisor.era = Some(if connection.is_modern() {
            Era::Modern
        } else {
            Era::Legacy
        });
        // The connection itself is not held, so that it ends with the handle.
        let (ended, changed) = (
            connection.ended().clone(),
            Arc::clone(connection.list_changed()),
        );
        drop(connection);
        tokio::select! {
            () = ended.cancelled() => supervisor.replace().await,
            () = changed.notified() => supervisor.relist(&ended).await,
        }
    }
}

struct Supervisor {
    shared: Arc<Shared>,
    era: Option<Era>,
    restarts: Restarts,
    hidden: Vec<String>,
    /// The change that was told last.
    told: ListChange,
}

impl Supervisor {
    async fn replace(&mut self) {
        let name = self.shared.options.name.clone();
        let ended = self.shared.up();
        let reason = ended.map_or_else(String::new, |connection| connection.reason());
        tracing::info!(server = %name, %reason, "a tool server ended");
        // What is left of the old server is ended before a new one starts.
        self.shared.state.send_replace(State::Down);
        let mut last = reason.clone();
        loop {
            if let Some(lost) = self.shared.connector.lost() {
                return self.abandon(lost);
            }
            let Some(pause) = self.restarts.next(std::time::Instant::now()) else {
                let minutes = RESTART_WINDOW.as_secs() / 60;
                return self.abandon(format!(
                    "{last}; it was started {MAX_RESTARTS} times within {minutes} minutes and is \
                     not started again"
                ));
            };
            tokio::time::sleep(pause).await;
            match self.reconnect().await {
                Ok(connection) => {
                    self.shared.tell(ToolNotice::Restarted { reason });
                    let up = State::Up(Arc::new(connection));
                    self.shared.state.send_replace(up);
                    return;
                }
                Err(error) => {
                    tracing::info!(server = %name, %error, "a tool server did not come back");
                    // Perhaps it speaks another era by now.
                    self.era = None;
                    last = error.to_string();
                }
            }
        }
    }

    async fn reconnect(&mut self) -> Result<Connection, ToolServerError> {
        let shared = Arc::clone(&self.shared);
        let options = &shared.options;
        let limit = options.startup_timeout;
        let connecting = async {
            let connection = dial(options, shared.connector.as_ref(), self.era).await?;
            let listed = connection.list().await;
            let listed = listed.map_err(|error| ToolServerError::startup(&options.name, error))?;
            Ok((connection, listed))
        };
        let connected = tokio::time::timeout(limit, connecting).await;
        let (connection, listed) =
            connected.map_err(|_| ToolServerError::late(&options.name, limit))??;
        self.take_in(listed).await;
        Ok(connection)
    }

    async fn relist(&mut self, ended: &CancellationToken) {
        let shared = Arc::clone(&self.shared);
        let limit = shared.options.startup_timeout;
        let Some(connection) = shared.up() else {
            return;
        };
        match tokio::time::timeout(limit, connection.list()).await {
            Ok(Ok(listed)) => self.take_in(listed).await,
            Ok(Err(error)) => {
                tracing::info!(server = %shared.options.name, %error, "no new list of tools");
            }
            Err(_) => {
                tracing::info!(server = %shared.options.name, "the new list of tools is late");
            }
        }
        drop(connection);
        tokio::select! {
            () = tokio::time::sleep(RELIST_PAUSE) => {}
            () = ended.cancelled() => {}
        }
    }

    /// Refuses from now on what is not as the conversation knows it, and tells what has changed.
    async fn take_in(&mut self, listed: Vec<Tool>) {
        let shared = Arc::clone(&self.shared);
        let (offered, _) = partition(&shared.options, listed);
        let mut change = compare(&shared.tools, &offered);
        change.added.retain(|name| !self.hidden.contains(name));
        let withheld = review(&shared.options, &shared.approval, &offered).await;
        let refusals = refusals(&shared.options, &shared.tools, &change, withheld);
        *shared
            .refusals
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = refusals;
        if change != self.told && !(change.is_empty() && self.told.is_empty()) {
            shared.tell(ToolNotice::ListChanged(change.clone()));
        }
        self.told = change;
    }

    fn abandon(&self, reason: String) {
        let told = reason.clone();
        self.shared.tell(ToolNotice::Abandoned { reason: told });
        self.shared.state.send_replace(State::Gone(reason));
    }
}
