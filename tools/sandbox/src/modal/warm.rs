//! Images of sandboxes after setup, for later runs to start from.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The folder in the server's own.
const FOLDER: &str = "modal-warm";

/// What is known of such images: a file for each name.
#[derive(Debug)]
pub(super) struct WarmImages {
    folder: PathBuf,
    lifetime: Duration,
}

/// What setup made, in which image.
#[derive(Clone, Debug)]
pub(super) struct WarmName(String);

#[derive(Serialize, Deserialize)]
struct Kept {
    image_id: String,
    /// In seconds since 1970.
    until: u64,
}

impl WarmName {
    /// What a setup of this name makes in an image of this recipe.
    pub(super) fn new(setup: &str, recipe: &str) -> Self {
        let digest = Sha256::digest(format!("{recipe}\n{setup}"));
        Self(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl WarmImages {
    pub(super) fn new(data_dir: &Path, lifetime: Duration) -> Self {
        Self {
            folder: data_dir.join(FOLDER),
            lifetime,
        }
    }

    /// How long an image is kept; nothing where none is.
    pub(super) fn lifetime(&self) -> Option<Duration> {
        (!self.lifetime.is_zero()).then_some(self.lifetime)
    }

    /// The image that is kept by a name, as long as it is.
    pub(super) fn find(&self, name: &WarmName) -> Option<String> {
        self.lifetime()?;
        let kept = fs::read(self.file(name)).ok()?;
        let kept: Kept = serde_json::from_slice(&kept).ok()?;
        if kept.until <= now() {
            self.forget(name);
            return None;
        }
        Some(kept.image_id)
    }

    /// Notes an image that was just made.
    pub(super) fn note(&self, name: &WarmName, image_id: String) -> io::Result<()> {
        let kept = Kept {
            image_id,
            until: now() + self.lifetime.as_secs(),
        };
        fs::create_dir_all(&self.folder)?;
        // Another server may read it meanwhile.
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        serde_json::to_writer(&mut file, &kept)?;
        file.persist(self.file(name))?;
        Ok(())
    }

    pub(super) fn forget(&self, name: &WarmName) {
        // Nothing is there in the usual case.
        let _ = fs::remove_file(self.file(name));
    }

    fn file(&self, name: &WarmName) -> PathBuf {
        self.folder.join(format!("{}.json", name.0))
    }
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}
