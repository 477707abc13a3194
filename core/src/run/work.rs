//! Work: the conversation with the model, and taking its work out of the sandbox.

use std::time::Duration;

use pullwright_protocol::{CheckReport, Event, FailureKind, Stage};
use rmcp::model::RequestMetaObject;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::command::run_shell;
use super::prompt::{self, Instructions};
use super::{Prepared, Run};
use crate::agent::{Agent, Halt};
use crate::conversation::Conversation;
use crate::provider::Provider;
use crate::sandbox::SandboxCommand;
use crate::source::{Base, Work};
use crate::tools::ToolBox;

/// The files in which repositories instruct agents; the first that exists in the root counts.
const INSTRUCTION_FILES: &[&str] = &["AGENTS.md", "CLAUDE.md"];

/// How much of an instruction file is quoted, in bytes.
const MAX_INSTRUCTION_BYTES: usize = 32 * 1024;

/// How many paths of the repository the layout is made from.
const MAX_PATHS: usize = 20_000;

/// How long the look around in the sandbox may take.
const LOOK_AROUND_TIMEOUT: Duration = Duration::from_secs(10);

/// How long taking the work out may take.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(300);

/// How much of the exporter's standard error is kept, in bytes.
const MAX_EXPORT_ERROR_BYTES: u64 = 4096;

/// Says what there is to work with: the system and the tools found, one line each.
const LOOK_AROUND: &str = "uname -srm; printf 'Working folder: %s\\nTools found:' \"$PWD\"; \
    for tool in git rg make cc cargo node npm pnpm yarn python3 pip uv go java mvn ruby php docker; \
    do command -v \"$tool\" >/dev/null 2>&1 && printf ' %s' \"$tool\"; done; echo";

impl Run<'_> {
    pub(super) async fn start_conversation(
        &mut self,
        prepared: &Prepared,
        tools: &ToolBox,
    ) -> Result<(), Halt> {
        let conversation = Conversation::new(prompt::SYSTEM.to_owned(), tools.specs());
        let started = Event::ConversationStarted {
            provenance: prepared.provider.info().provenance.clone(),
            system: conversation.system().to_owned(),
            tools: conversation.tools().to_vec(),
        };
        self.log.emit(started).await;
        let first = self.first_item(prepared).await?;
        let item = pullwright_protocol::Item::user(first);
        self.conversation.insert(conversation).push(&item);
        self.log.emit(Event::ItemAppended { item }).await;
        let model = &prepared.provider.info().provenance.model;
        self.status(Stage::Work, format!("{model} starts to work"))
            .await;
        Ok(())
    }

    /// Lets the model work until it has nothing more to do, and answers its last words. Where a
    /// provider is spent, the next of `[agent] fallback` goes on.
    pub(super) async fn work(
        &mut self,
        prepared: &mut Prepared,
        tools: &ToolBox,
    ) -> Result<String, Halt> {
        loop {
            let halt = match self.work_with(&prepared.provider, tools).await {
                Err(halt @ Halt::Failed(kind, _)) if is_spent(kind) => halt,
                ended => return ended,
            };
            match self.next_provider().await? {
                Some(provider) => prepared.provider = provider,
                None => return Err(halt),
            }
        }
    }

    async fn next_provider(&mut self) -> Result<Option<Provider>, Halt> {
        let Some(row) = self.fallback.pop_front() else {
            return Ok(None);
        };
        let provider = self.open_provider(&row, None).await?;
        let provenance = provider.info().provenance.clone();
        self.log.emit(Event::ProviderChanged { provenance }).await;
        let message =
            format!("going on with provider `{row}`; the reasoning so far is not passed on to it");
        self.status(Stage::Work, message).await;
        Ok(Some(provider))
    }

    async fn work_with(&mut self, provider: &Provider, tools: &ToolBox) -> Result<String, Halt> {
        let Some(conversation) = self.conversation.as_mut() else {
            let message = "the conversation has not started".to_owned();
            return Err(Halt::Failed(FailureKind::Internal, message));
        };
        let call_meta = match &self.forge {
            Some(forge) => forge.call_meta(),
            None => RequestMetaObject::new(),
        };
        self.unsaved = true;
        let mut agent = Agent {
            provider,
            tools,
            call_meta,
            log: &self.log,
            budget: &mut self.budget,
            conversation,
            cancel: &self.owned.cancel,
        };
        agent.work().await
    }

    /// Tells the model which checks its change broke.
    pub(super) async fn ask_for_repair(&mut self, broken: &[CheckReport]) {
        let broken: Vec<&CheckReport> = broken.iter().collect();
        let item = pullwright_protocol::Item::user(prompt::broken_checks(&broken));
        if let Some(conversation) = &mut self.conversation {
            conversation.push(&item);
        }
        self.log.emit(Event::ItemAppended { item }).await;
        let message = format!(
            "{} broken by the change; the model mends it",
            count(broken.len())
        );
        self.status(Stage::Work, message).await;
    }

    /// Takes the work out of the sandbox and stores its patch.
    pub(super) async fn take_in(&mut self, base: &Base) -> Result<(), Halt> {
        let work = tokio::time::timeout(EXPORT_TIMEOUT, self.export(base)).await;
        let work = work.map_err(|_| {
            let seconds = EXPORT_TIMEOUT.as_secs();
            let message = format!("taking the work out of the sandbox took over {seconds} s");
            Halt::Failed(FailureKind::Export, message)
        })??;
        if !work.is_empty() {
            let (id, epoch) = (&self.owned.id, self.owned.epoch);
            let stored = self.parts.store.put_patch(id, epoch, &work.patch).await;
            stored.map_err(|error| Halt::Failed(FailureKind::Internal, error.to_string()))?;
            let event = Event::PatchStored {
                bytes: work.patch.len() as u64,
                files: work.changed.len() as u64,
                tree: work.tree.clone(),
            };
            self.log.emit(event).await;
        }
        self.work = Some(work);
        self.unsaved = false;
        Ok(())
    }

    async fn export(&self, base: &Base) -> Result<Work, Halt> {
        let sandbox = self.sandbox()?;
        let host = sandbox.tool_host().to_string_lossy().into_owned();
        let argv = [host.as_str(), "tool-host", "export", "--base", &base.commit];
        let process = sandbox.spawn(SandboxCommand::new(argv)).await?;
        drop(process.stdin);
        let (source, mut bundle) = (&self.parts.source, process.stdout);
        let taking = async {
            let work = source.take_in(&self.owned.id, base, &mut bundle).await;
            // A bundle that is refused is not read to its end; the exporter must not wait for that.
            drop(bundle);
            work
        };
        let (work, complaint) = tokio::join!(taking, read_head(process.stderr));
        let exit = process.exit.await;
        let exported = exit.is_ok_and(|exit| exit.shell_code() == 0);
        match work {
            Ok(work) if exported => {
                for notice in complaint.lines() {
                    self.status(Stage::Work, notice).await;
                }
                Ok(work)
            }
            Err(refused) if exported || complaint.trim().is_empty() => Err(refused.into()),
            work => {
                let (kind, refused) = match work {
                    Ok(_) => (FailureKind::Export, String::new()),
                    Err(refused) => (refused.kind, format!("{refused}; ")),
                };
                let message = format!(
                    "the work could not be taken out of the sandbox: {refused}{}",
                    complaint.trim()
                );
                Err(Halt::Failed(kind, message))
            }
        }
    }

    async fn first_item(&self, prepared: &Prepared) -> Result<String, Halt> {
        let sandbox = self.sandbox()?;
        let base = &prepared.base;
        let look = run_shell(sandbox.as_ref(), LOOK_AROUND, LOOK_AROUND_TIMEOUT).await?;
        let paths = self.parts.files.paths(base, MAX_PATHS).await?;
        let instructions = self.instructions(base).await?;
        Ok(prompt::first_item(
            &self.owned.request,
            base,
            &look.output_tail,
            &paths,
            &prepared.commands,
            &instructions,
        ))
    }

    async fn instructions(&self, base: &Base) -> Result<Vec<Instructions>, Halt> {
        for path in INSTRUCTION_FILES {
            let file = self
                .parts
                .files
                .read(base, path, MAX_INSTRUCTION_BYTES)
                .await?;
            if let Some(bytes) = file {
                return Ok(vec![Instructions {
                    path: (*path).to_owned(),
                    text: String::from_utf8_lossy(&bytes).into_owned(),
                }]);
            }
        }
        Ok(Vec::new())
    }
}

/// Whether another provider may succeed where this one cannot.
fn is_spent(kind: FailureKind) -> bool {
    matches!(
        kind,
        FailureKind::RateLimited
            | FailureKind::Overloaded
            | FailureKind::Transport
            | FailureKind::ProviderAuth
            | FailureKind::ProviderBudget
    )
}

/// The beginning of a process's standard error. The rest is read too, so that the process does not
/// wait for ever to get rid of it.
async fn read_head(mut stderr: impl AsyncRead + Unpin) -> String {
    let mut head = Vec::new();
    let _ = (&mut stderr)
        .take(MAX_EXPORT_ERROR_BYTES)
        .read_to_end(&mut head)
        .await;
    let left_out = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
    let mut text = String::from_utf8_lossy(&head).into_owned();
    if left_out.is_ok_and(|bytes| bytes > 0) {
        text.push_str("\n[...]");
    }
    text
}

fn count(checks: usize) -> String {
    match checks {
        1 => "1 check was".to_owned(),
        checks => format!("{checks} checks were"),
    }
}
