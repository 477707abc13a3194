//! The files of the base commit, read from the mirror's objects: no path is ever opened.

use async_trait::async_trait;
use git2::{ObjectType, Repository, Tree, TreeWalkMode, TreeWalkResult};
use pullwright_core::source::{Base, RepositoryFiles, SourceError};

use crate::source::GitSource;
use crate::{absent, history, objects};

/// A blob of more bytes is not read at all: only its beginning is wanted, but objects come whole.
const MAX_BLOB_BYTES: usize = 16 << 20;

#[async_trait]
impl RepositoryFiles for GitSource {
    async fn paths(&self, base: &Base, limit: usize) -> Result<Vec<String>, SourceError> {
        with_tree(base, move |_, tree| {
            let mut paths = Vec::new();
            let walked = tree.walk(TreeWalkMode::PreOrder, |folder, entry| {
                if paths.len() == limit {
                    return TreeWalkResult::Abort;
                }
                if entry.kind() != Some(ObjectType::Tree) {
                    let name = String::from_utf8_lossy(entry.name_bytes());
                    paths.push(format!("{folder}{name}"));
                }
                TreeWalkResult::Ok
            });
            // Stopping at the limit counts as an error to libgit2.
            if paths.len() < limit {
                walked?;
            }
            paths.sort_unstable();
            Ok(paths)
        })
        .await
    }

    async fn read(
        &self,
        base: &Base,
        path: &str,
        max_bytes: usize,
    ) -> Result<Option<Vec<u8>>, SourceError> {
        let path = path.to_owned();
        with_tree(base, move |repository, tree| {
            let Ok(entry) = tree.get_path(path.as_ref()) else {
                return Ok(None);
            };
            let is_file = matches!(entry.filemode(), 0o100_644 | 0o100_755 | 0o100_664);
            let (size, kind) = repository.odb()?.read_header(entry.id())?;
            if !is_file || kind != ObjectType::Blob || size > MAX_BLOB_BYTES {
                return Ok(None);
            }
            let blob = repository.find_blob(entry.id())?;
            let content = blob.content();
            Ok(Some(content[..content.len().min(max_bytes)].to_vec()))
        })
        .await
    }

    async fn notices(&self, base: &Base) -> Result<Vec<String>, SourceError> {
        let mut notices = absent::notices(base.mirror.clone(), &base.tree).await?;
        notices.extend(history::notice(base).await?);
        Ok(notices)
    }
}

async fn with_tree<T: Send + 'static>(
    base: &Base,
    read: impl FnOnce(&Repository, &Tree<'_>) -> Result<T, git2::Error> + Send + 'static,
) -> Result<T, SourceError> {
    let (mirror, tree) = (base.mirror.clone(), objects::id(&base.tree)?);
    objects::blocking(move || {
        let repository = objects::open(&mirror)?;
        let found = repository.find_tree(tree);
        found
            .and_then(|tree| read(&repository, &tree))
            .map_err(|error| objects::broken(&mirror, &error))
    })
    .await
}
