//! Images, by what they are made from.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pullwright_sandbox::modal::wire::client::{GenericResult, Image, MountFile};
use sha2::{Digest as _, Sha256};
use tonic::Status;

/// What is known of an image.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// The files that were copied into it.
    pub(crate) files: Vec<String>,
    /// The log of its build, as long as it is not built.
    pub(crate) run: Vec<String>,
    pub(crate) result: Option<GenericResult>,
    /// What a sandbox's own folders held when it was made from one.
    pub(crate) archive: Option<Arc<Vec<u8>>>,
}

#[derive(Debug, Default)]
pub(crate) struct Images(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    images: BTreeMap<String, Known>,
    mounts: BTreeMap<String, Vec<MountFile>>,
}

impl Images {
    /// The image made as `image` says, and whether it is built.
    pub(crate) fn get_or_create(&self, image: &Image) -> Result<(String, Known), Status> {
        use prost::Message as _;

        let digest = Sha256::digest(image.encode_to_vec());
        let hex: String = digest
            .iter()
            .take(11)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let id = format!("im-{hex}");
        let mut state = self.lock();
        if let Some(known) = state.images.get(&id) {
            return Ok((id, known.clone()));
        }
        let mut known = Known::default();
        for base in &image.base_images {
            let Some(below) = state.images.get(&base.image_id) else {
                return Err(Status::not_found(format!(
                    "there is no image {}",
                    base.image_id
                )));
            };
            known.files.extend(below.files.clone());
        }
        if !image.context_mount_id.is_empty() {
            let Some(files) = state.mounts.get(&image.context_mount_id) else {
                return Err(Status::not_found("there is no such mount"));
            };
            known
                .files
                .extend(files.iter().map(|file| file.filename.clone()));
        }
        let lines = image.dockerfile_commands.iter();
        let run = lines.filter_map(|line| line.strip_prefix("RUN "));
        known.run = run.map(str::to_owned).collect();
        state.images.insert(id.clone(), known.clone());
        Ok((id, known))
    }

    pub(crate) fn find(&self, id: &str) -> Result<Known, Status> {
        let found = self.lock().images.get(id).cloned();
        found.ok_or_else(|| Status::not_found(format!("there is no image {id}")))
    }

    /// An image of what a sandbox's file system is.
    pub(crate) fn snapshot(&self, of: &str, archive: Vec<u8>) -> Result<String, Status> {
        let known = Known {
            archive: Some(Arc::new(archive)),
            ..self.find(of)?
        };
        let id = format!("im-{}", uuid::Uuid::new_v4().simple());
        self.lock().images.insert(id.clone(), known);
        Ok(id)
    }

    pub(crate) fn built(&self, id: &str, result: GenericResult) {
        if let Some(known) = self.lock().images.get_mut(id) {
            known.result = Some(result);
        }
    }

    pub(crate) fn mount(&self, files: Vec<MountFile>) -> String {
        let mut digest = Sha256::new();
        for file in &files {
            digest.update(format!(
                "{} {} {:?}\n",
                file.filename, file.sha256_hex, file.mode
            ));
        }
        let digest = digest.finalize();
        let hex: String = digest
            .iter()
            .take(11)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let id = format!("mo-{hex}");
        self.lock().mounts.insert(id.clone(), files);
        id
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
