//! What tool servers tell, on its way into the log.

use pullwright_protocol::{Event, Stage};
use tokio::sync::mpsc;

use crate::log::EventLog;
use crate::run::Run;
use crate::tools::{ToolNotice, ToolServer, Withheld};

impl Run<'_> {
    /// Records what `server` has told so far, and whatever it tells until it is dropped.
    pub(super) async fn record_notices_of(&mut self, server: &ToolServer) {
        let Some(mut notices) = server.take_notices() else {
            return;
        };
        let name = server.name().to_owned();
        while let Ok(notice) = notices.try_recv() {
            self.log.emit(event(&name, notice)).await;
        }
        self.notices
            .push(tokio::spawn(record(self.log.clone(), name, notices)));
    }
}

async fn record(log: EventLog, server: String, mut notices: mpsc::Receiver<ToolNotice>) {
    while let Some(notice) = notices.recv().await {
        log.emit(event(&server, notice)).await;
    }
}

fn event(server: &str, notice: ToolNotice) -> Event {
    let server = server.to_owned();
    let message = match notice {
        ToolNotice::Restarted { reason } => {
            return Event::ToolServerRestarted { server, reason };
        }
        ToolNotice::Abandoned { reason } => return Event::ToolServerLost { server, reason },
        ToolNotice::ListChanged(change) => {
            return Event::ToolListChanged {
                server,
                added: change.added,
                changed: change.changed,
                removed: change.removed,
            };
        }
        ToolNotice::Withheld(withheld) => {
            format!(
                "not offered from tool server `{server}`: {}",
                reasons(&withheld)
            )
        }
        ToolNotice::UnknownTool { key, name, nearest } => match nearest {
            Some(nearest) => format!(
                "`{key}` in [tools.{server}] names `{name}`, which the server does not have; did \
                 you mean `{nearest}`?"
            ),
            None => format!(
                "`{key}` in [tools.{server}] names `{name}`, but the server has no tools at all"
            ),
        },
    };
    Event::Status {
        stage: Stage::Sandbox,
        message,
    }
}

fn reasons(withheld: &[Withheld]) -> String {
    let each = withheld.iter();
    let each: Vec<String> = each
        .map(|held| format!("`{}` ({})", held.tool, held.reason))
        .collect();
    each.join(", ")
}
