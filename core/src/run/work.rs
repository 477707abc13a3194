//! Work: the conversation with the model.

use std::time::Duration;

use pullwright_protocol::{Event, FailureKind, Item, Stage};
use rmcp::model::RequestMetaObject;
use tokio::sync::Notify;

use super::command::run_shell;
use super::follow;
use super::prompt::{self, Instructions};
use super::resume::Begun;
use super::{Prepared, Run};
use crate::agent::{Agent, Halt};
use crate::provider::Provider;
use crate::source::Base;
use crate::tools::ToolBox;

/// The files in which repositories instruct agents; the first that exists in the root counts.
const INSTRUCTION_FILES: &[&str] = &["AGENTS.md", "CLAUDE.md"];

/// How much of an instruction file is quoted, in bytes.
const MAX_INSTRUCTION_BYTES: usize = 32 * 1024;

/// How many paths of the repository the layout is made from.
const MAX_PATHS: usize = 20_000;

/// How long the look around in the sandbox may take.
const LOOK_AROUND_TIMEOUT: Duration = Duration::from_secs(10);

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
        let (conversation, beginning) = self.conversation_before(tools, prompt::SYSTEM);
        let started = Event::ConversationStarted {
            provenance: prepared.provider.info().provenance.clone(),
            limits: prepared.provider.info().limits(),
            system: conversation.system().to_owned(),
            tools: conversation.tools().to_vec(),
            beginning,
        };
        let item = Item::user(match &self.followed {
            Some(followed) if !beginning.is_empty() => {
                follow::follow_up(followed, &self.situation, &self.owned.request.prompt)
            }
            _ => self.first_item(prepared).await?,
        });
        self.conversation.insert(conversation).push(&item);
        self.log
            .emit_all(vec![started, Event::ItemAppended { item }])
            .await;
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
        if let Some(words) = self.begun.as_ref().and_then(Begun::last_words)
            && self.inbox.news().await.is_empty()
        {
            self.begun = None;
            return Ok(words);
        }
        loop {
            let halt = match self.work_with(prepared, tools).await {
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
        let limits = provider.info().limits();
        let changed = Event::ProviderChanged { provenance, limits };
        self.log.emit(changed).await;
        let message =
            format!("going on with provider `{row}`; the reasoning so far is not passed on to it");
        self.status(Stage::Work, message).await;
        Ok(Some(provider))
    }

    async fn work_with(&mut self, prepared: &Prepared, tools: &ToolBox) -> Result<String, Halt> {
        let changed = Notify::new();
        let keeper = self.keeper(&prepared.base)?;
        let keeps_up = self.parts.keeps_up;
        let begun = self.begun.take();
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
            provider: &prepared.provider,
            tools,
            call_meta,
            log: &self.log,
            budget: &mut self.budget,
            conversation,
            cancel: &self.owned.cancel,
            hand_over: &self.owned.hand_over.soon,
            inbox: &mut self.inbox,
            changed: &changed,
        };
        let working = async {
            if let Some(begun) = begun {
                begun.take_up(&mut agent).await?;
            }
            agent.work().await
        };
        tokio::select! {
            ended = working => ended,
            () = keeper.keep_up(&changed), if keeps_up => {
                let message = "keeping the work up ended by itself".to_owned();
                Err(Halt::Failed(FailureKind::Internal, message))
            }
        }
    }

    /// Whether somebody said something meanwhile, so that the model goes on in what is checked.
    pub(super) async fn has_news(&mut self, prepared: &Prepared) -> Result<bool, Halt> {
        if self.inbox.news().await.is_empty() {
            return Ok(false);
        }
        let Some(work) = self.work.clone() else {
            return Ok(true);
        };
        // It was done under another owner, and there was nothing to check.
        let is_missing = self.sandbox.is_none();
        if is_missing {
            self.open_on_work(prepared, &work).await?;
        }
        // Setup and checks left something behind.
        if is_missing || !prepared.commands.checks.is_empty() {
            self.settle(&work.tree).await?;
        }
        Ok(true)
    }

    async fn first_item(&self, prepared: &Prepared) -> Result<String, Halt> {
        let sandbox = self.sandbox()?;
        let base = &prepared.base;
        let look = run_shell(sandbox.as_ref(), LOOK_AROUND, LOOK_AROUND_TIMEOUT).await?;
        let paths = self.parts.files.paths(base, MAX_PATHS).await?;
        let instructions = self.instructions(base).await?;
        let task = &self.owned.request.prompt;
        let task = match &self.followed {
            Some(followed) => &follow::task(followed, &self.situation, task),
            None => task,
        };
        Ok(prompt::first_item(
            task,
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
