//! Reading objects with libgit2: no process, no working tree, no attributes.

use std::path::Path;

use git2::{Commit, ErrorCode, Oid, Repository};
use pullwright_core::source::SourceError;
use pullwright_protocol::FailureKind;

/// Opens a bare repository of our own.
pub(crate) fn open(path: &Path) -> Result<Repository, SourceError> {
    Repository::open_bare(path).map_err(|error| broken(path, &error))
}

/// The id of a tree or commit, from its text.
pub(crate) fn id(text: &str) -> Result<Oid, SourceError> {
    Oid::from_str(text).map_err(|_| {
        SourceError::new(
            FailureKind::Internal,
            format!("`{}` is not an object id", text.escape_debug()),
        )
    })
}

/// The commit a reference points to; none if there is no such reference.
pub(crate) fn find_ref<'r>(
    repository: &'r Repository,
    name: &str,
) -> Result<Option<Commit<'r>>, git2::Error> {
    match repository
        .refname_to_id(name)
        .and_then(|id| repository.find_commit(id))
    {
        Ok(commit) => Ok(Some(commit)),
        Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Runs blocking work on objects.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SourceError> + Send + 'static,
) -> Result<T, SourceError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| {
            Err(SourceError::new(
                FailureKind::Internal,
                format!("reading objects ended without an answer: {error}"),
            ))
        })
}

pub(crate) fn broken(path: &Path, error: &git2::Error) -> SourceError {
    SourceError::new(
        FailureKind::Internal,
        format!(
            "the repository `{}` cannot be read: {}",
            path.display(),
            error.message()
        ),
    )
}
