//! Apps, each of which is in an environment.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pullwright_sandbox::modal::wire::client::{AppGetOrCreateRequest, ObjectCreationType};
use tonic::Status;

/// The environment of those who name none.
const DEFAULT_ENVIRONMENT: &str = "main";

/// The environments of all apps, by the apps' ids.
#[derive(Debug, Default)]
pub(crate) struct Apps(Mutex<BTreeMap<String, String>>);

impl Apps {
    /// The id of the app that is asked for.
    pub(crate) fn get_or_create(&self, request: &AppGetOrCreateRequest) -> Result<String, Status> {
        let name = &request.app_name;
        if name.is_empty() {
            return Err(Status::invalid_argument("an app has a name"));
        }
        let environment = environment(&request.environment_name);
        let id = format!("ap-{environment}-{name}");
        let mut apps = self.lock();
        let may_create = request.object_creation_type() != ObjectCreationType::Unspecified;
        if !may_create && !apps.contains_key(&id) {
            let why = format!("there is no app {name} in the environment {environment}");
            return Err(Status::not_found(why));
        }
        apps.insert(id.clone(), environment.to_owned());
        Ok(id)
    }

    /// The environment that an app is in.
    pub(crate) fn environment_of(&self, id: &str) -> Result<String, Status> {
        let found = self.lock().get(id).cloned();
        found.ok_or_else(|| Status::not_found(format!("there is no app {id}")))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The environment that goes by this name. Each is there as soon as it is named.
pub(crate) fn environment(name: &str) -> &str {
    match name {
        "" => DEFAULT_ENVIRONMENT,
        name => name,
    }
}
