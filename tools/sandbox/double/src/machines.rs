//! The sandboxes that there are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pullwright_core::config::SandboxConfig;
use pullwright_core::sandbox::{Opening, Sandbox, SandboxHost};
use pullwright_protocol::RunId;
use pullwright_sandbox::LocalHost;
use pullwright_sandbox::modal::wire::client::NetworkAccess;
use pullwright_sandbox::modal::wire::client::generic_result::GenericStatus;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tonic::Status;

use crate::machine::{Machine, Order};
use crate::tasks::Tasks;

pub(crate) struct Machines {
    host: LocalHost,
    folder: TempDir,
    tasks: Tasks,
    has_room: watch::Sender<bool>,
    all: Mutex<BTreeMap<String, Arc<Machine>>>,
}

impl Machines {
    pub(crate) fn new(pullwright: &Path, tasks: Tasks) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let host = LocalHost::new(&SandboxConfig::default(), folder.path(), pullwright)?;
        Ok(Self {
            host,
            folder,
            tasks,
            has_room: watch::channel(true).0,
            all: Mutex::default(),
        })
    }

    /// A sandbox with nothing in it, for the lines of a dockerfile.
    pub(crate) async fn scratch(&self) -> Result<Arc<dyn Sandbox>, Status> {
        self.open(&format!("build-{}", uuid::Uuid::new_v4().simple()))
            .await
    }

    async fn open(&self, name: &str) -> Result<Arc<dyn Sandbox>, Status> {
        let checkout: PathBuf = self.folder.path().join("workspaces").join(name);
        std::fs::create_dir_all(&checkout).map_err(|error| Status::internal(error.to_string()))?;
        let opening = Opening {
            warm: None,
            run: &RunId(name.to_owned()),
            checkout: &checkout,
            notices: mpsc::channel(1).0,
        };
        let opened = self.host.open(opening).await;
        opened.map_err(|error| Status::internal(error.to_string()))
    }

    pub(crate) async fn create(&self, order: Order) -> Result<Arc<Machine>, Status> {
        let name = uuid::Uuid::new_v4().simple().to_string();
        let sandbox = self.open(&name).await?;
        let machine = Machine::begin(&self.tasks, &name, sandbox, order).await?;
        self.lock().insert(machine.id.clone(), Arc::clone(&machine));
        self.schedule(&machine);
        Ok(machine)
    }

    /// Finds a machine for a sandbox, at once where there is room.
    fn schedule(&self, machine: &Arc<Machine>) {
        if *self.has_room.borrow() {
            return machine.schedule();
        }
        let (mut has_room, machine) = (self.has_room.subscribe(), Arc::clone(machine));
        self.tasks.spawn(async move {
            // It is asked for as long as the double is there.
            let _ = has_room.wait_for(|has_room| *has_room).await;
            machine.schedule();
        });
    }

    /// Says whether there are machines for sandboxes.
    pub(crate) fn set_room(&self, has_room: bool) {
        self.has_room.send_replace(has_room);
    }

    pub(crate) fn find(&self, id: &str) -> Result<Arc<Machine>, Status> {
        let found = self.lock().get(id).cloned();
        found.ok_or_else(|| Status::not_found(format!("there is no sandbox {id}")))
    }

    pub(crate) fn find_task(&self, id: &str) -> Result<Arc<Machine>, Status> {
        let found = self.lock().values().find(|one| one.task_id == id).cloned();
        let found = found.ok_or_else(|| Status::not_found(format!("there is no task {id}")))?;
        match found.ended() {
            Some(_) => Err(Status::not_found(format!("the task {id} has ended"))),
            None => Ok(found),
        }
    }

    pub(crate) fn all(&self) -> Vec<Arc<Machine>> {
        self.lock().values().cloned().collect()
    }

    pub(crate) fn alive(&self) -> usize {
        let all = self.lock();
        all.values().filter(|one| one.ended().is_none()).count()
    }

    /// What each sandbox could reach over time, the oldest first.
    pub(crate) fn networks(&self) -> Vec<Vec<NetworkAccess>> {
        let mut all = self.all();
        all.sort_by(|a, b| a.created_at.total_cmp(&b.created_at));
        all.iter().map(|machine| machine.networks()).collect()
    }

    pub(crate) async fn end_all(&self, how: GenericStatus) {
        for machine in self.all() {
            machine.end(how, 0).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Machine>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
