//! Files by their content, and the place where large ones are put.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::{ETAG, HeaderName};
use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use md5::Md5;
use pullwright_sandbox::modal::wire::client::BlobCreateRequest;
use sha2::{Digest as _, Sha256};
use tonic::Status;

use crate::Shared;

#[derive(Debug, Default)]
pub(crate) struct Blobs(Mutex<State_>);

#[derive(Debug, Default)]
struct State_ {
    /// What was announced, by id.
    announced: BTreeMap<String, BlobCreateRequest>,
    put: BTreeMap<String, Bytes>,
    /// The hashes of the files of mounts.
    files: BTreeMap<String, usize>,
}

impl Blobs {
    pub(crate) fn announce(&self, request: BlobCreateRequest) -> String {
        let id = format!("bl-{}", uuid::Uuid::new_v4().simple());
        self.lock().announced.insert(id.clone(), request);
        id
    }

    pub(crate) fn has_file(&self, sha256_hex: &str) -> bool {
        self.lock().files.contains_key(sha256_hex)
    }

    pub(crate) fn put_file(&self, sha256_hex: &str, data: &[u8]) -> Result<(), Status> {
        let digest = Sha256::digest(data);
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        if hex != sha256_hex {
            return Err(Status::invalid_argument("the file has another hash"));
        }
        self.lock().files.insert(hex, data.len());
        Ok(())
    }

    pub(crate) fn blob(&self, id: &str) -> Result<Bytes, Status> {
        let found = self.lock().put.get(id).cloned();
        found.ok_or_else(|| Status::not_found(format!("there is no blob {id}")))
    }

    fn lock(&self) -> MutexGuard<'_, State_> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a blob that was announced, if it is the one.
pub(crate) async fn put(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, [(HeaderName, String); 1]) {
    // What a store answers is what was put.
    let digest = Md5::digest(&body);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    (
        take(&shared, &id, &headers, body),
        [(ETAG, format!("\"{hex}\""))],
    )
}

fn take(shared: &Shared, id: &str, headers: &HeaderMap, body: Bytes) -> StatusCode {
    let mut state = shared.blobs.lock();
    let Some(announced) = state.announced.get(id) else {
        return StatusCode::FORBIDDEN;
    };
    let md5 = BASE64_STANDARD.encode(Md5::digest(&body));
    let said = headers.get("content-md5").and_then(|md5| md5.to_str().ok());
    let length = i64::try_from(body.len()).unwrap_or(i64::MAX);
    // Clients say it again to stores that look at it.
    if said.is_some_and(|said| said != md5)
        || announced.content_md5 != md5
        || announced.content_length != length
    {
        return StatusCode::BAD_REQUEST;
    }
    state.put.insert(id.to_owned(), body);
    StatusCode::OK
}
