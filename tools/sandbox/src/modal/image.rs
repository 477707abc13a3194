//! The image: a tag in a registry, the configured lines, and our executable on top.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use md5::Md5;
use pullwright_core::config::ModalConfig;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::TOOL_HOST;
use super::control::Control;
use super::error::ModalError;
use super::wire::client::blob_create_response::{UploadTypeOneof, UploadTypesOneof};
use super::wire::client::generic_result::GenericStatus;
use super::wire::client::mount_put_file_request::DataOneof;
use super::wire::client::{
    BaseImage, BlobCreateRequest, BlobCreateResponse, GenericResult, Image,
    ImageGetOrCreateRequest, ImageJoinStreamingRequest, MountBatchedCheckExistenceRequest,
    MountFile, MountGetOrCreateRequest, MountPutFileRequest, ObjectCreationType,
};

/// The oldest builder whose images hold nothing but what we ask for.
const OLDEST_BUILDER: &str = "2025.06";

/// A larger file goes by way of a blob.
const MAX_INLINE_BYTES: usize = 4 * 1024 * 1024;

/// How long one question after a build is under way.
const JOIN_SECONDS: f32 = 55.0;

/// How long to wait before the next one: a stream may break again and again.
const JOIN_PAUSE: Duration = Duration::from_millis(500);

/// How long a build may take in all.
const BUILD_TIMEOUT: Duration = Duration::from_secs(3600);

/// How much of a failed build's log is shown.
const SHOWN_LOG_BYTES: usize = 4000;

/// How long an upload may take.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(600);

/// An image that is there.
pub(super) struct Built {
    pub(super) image_id: String,
    /// What it is made from: the same for the same tag, lines and executable.
    pub(super) recipe: String,
}

/// Makes images for one app.
pub(super) struct Builder<'a> {
    pub(super) control: &'a Control,
    pub(super) app_id: &'a str,
    /// The environment's version of the builder.
    pub(super) version: &'a str,
    /// Where lines of a build's log go.
    pub(super) log: &'a mpsc::Sender<String>,
}

impl Builder<'_> {
    /// The image of `config` with `tool_host` in it. What is known already is not built again.
    pub(super) async fn build(
        &self,
        config: &ModalConfig,
        tool_host: &Path,
    ) -> Result<Built, ModalError> {
        let from = Image {
            dockerfile_commands: vec![format!("FROM {}", config.image)],
            ..Image::default()
        };
        let mut image = self.layer(from).await?;
        if !config.dockerfile.is_empty() {
            let lines = config.dockerfile.iter().cloned();
            let commands = std::iter::once("FROM base".to_owned()).chain(lines);
            image = self
                .layer(Image {
                    base_images: vec![base(image)],
                    dockerfile_commands: commands.collect(),
                    ..Image::default()
                })
                .await?;
        }
        let (mount, sha256_hex) = self.mount(tool_host).await?;
        let image_id = self.layer(Image {
            base_images: vec![base(image)],
            dockerfile_commands: vec!["FROM base".to_owned(), "COPY . /".to_owned()],
            context_mount_id: mount,
            ..Image::default()
        });
        Ok(Built {
            image_id: image_id.await?,
            recipe: format!("{} {:?} {sha256_hex}", config.image, config.dockerfile),
        })
    }

    async fn layer(&self, image: Image) -> Result<String, ModalError> {
        let request = ImageGetOrCreateRequest {
            image: Some(image),
            app_id: self.app_id.to_owned(),
            builder_version: self.version.max(OLDEST_BUILDER).to_owned(),
            ..ImageGetOrCreateRequest::default()
        };
        let made = self.control.call(
            "ImageGetOrCreate",
            request,
            |mut client, request| async move { client.image_get_or_create(request).await },
        );
        let made = made.await?;
        let mut log = String::new();
        let result = match made.result {
            Some(result) if is_over(&result) => result,
            _ => self.join(&made.image_id, &mut log).await?,
        };
        match result.status() {
            GenericStatus::Success => Ok(made.image_id),
            status => Err(ModalError::Image {
                reason: match result.exception.as_str() {
                    "" => status.as_str_name().to_owned(),
                    said => said.to_owned(),
                },
                log,
            }),
        }
    }

    /// Follows a build to its end.
    async fn join(&self, image_id: &str, log: &mut String) -> Result<GenericResult, ModalError> {
        let building = async {
            let mut last_entry_id = String::new();
            loop {
                let request = ImageJoinStreamingRequest {
                    image_id: image_id.to_owned(),
                    timeout: JOIN_SECONDS,
                    last_entry_id: last_entry_id.clone(),
                    include_logs_for_finished: true,
                };
                let stream = self.control.call(
                    "ImageJoinStreaming",
                    request,
                    |mut client, request| async move { client.image_join_streaming(request).await },
                );
                let mut stream = stream.await?;
                // A stream that breaks is taken up again at its last entry.
                while let Ok(Some(piece)) = stream.message().await {
                    for line in piece.task_logs {
                        self.tell(&line.data, log).await;
                    }
                    if !piece.entry_id.is_empty() {
                        last_entry_id = piece.entry_id;
                    }
                    if let Some(result) = piece.result.filter(is_over) {
                        return Ok(result);
                    }
                }
                tokio::time::sleep(JOIN_PAUSE).await;
            }
        };
        let built = tokio::time::timeout(BUILD_TIMEOUT, building).await;
        built.unwrap_or_else(|_| {
            Err(ModalError::Image {
                reason: format!("it took longer than {} s", BUILD_TIMEOUT.as_secs()),
                log: log.clone(),
            })
        })
    }

    async fn tell(&self, text: &str, log: &mut String) {
        log.push_str(text);
        let excess = log.len().saturating_sub(SHOWN_LOG_BYTES);
        log.drain(..log.ceil_char_boundary(excess));
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            // Nobody may be interested.
            let _ = self.log.send(line.to_owned()).await;
        }
    }

    /// A mount with our executable, and that one's hash.
    async fn mount(&self, tool_host: &Path) -> Result<(String, String), ModalError> {
        let bytes = tokio::fs::read(tool_host).await.map_err(|error| {
            ModalError::ToolHost(format!("{} cannot be read: {error}", tool_host.display()))
        })?;
        let digest = Sha256::digest(&bytes);
        let sha256_hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let size = bytes.len() as u64;
        self.upload(bytes, &sha256_hex, &digest).await?;
        let file = MountFile {
            filename: TOOL_HOST.to_owned(),
            sha256_hex: sha256_hex.clone(),
            size: Some(size),
            mode: Some(0o755),
        };
        let request = MountGetOrCreateRequest {
            object_creation_type: ObjectCreationType::AnonymousOwnedByApp.into(),
            files: vec![file],
            app_id: self.app_id.to_owned(),
            environment_name: self.control.account().environment.clone(),
        };
        let mount = self.control.call(
            "MountGetOrCreate",
            request,
            |mut client, request| async move { client.mount_get_or_create(request).await },
        );
        Ok((mount.await?.mount_id, sha256_hex))
    }

    async fn upload(
        &self,
        bytes: Vec<u8>,
        sha256_hex: &str,
        digest: &[u8],
    ) -> Result<(), ModalError> {
        let request = MountBatchedCheckExistenceRequest {
            sha256_hex_hashes: vec![sha256_hex.to_owned()],
        };
        let known = self.control.call(
            "MountBatchedCheckExistence",
            request,
            |mut client, request| async move {
                client.mount_batched_check_existence(request).await
            },
        );
        if known.await?.missing_sha256_hex_hashes.is_empty() {
            return Ok(());
        }
        let data = match bytes.len() {
            ..MAX_INLINE_BYTES => DataOneof::Data(bytes.into()),
            _ => DataOneof::DataBlobId(self.blob(bytes, digest).await?),
        };
        let request = MountPutFileRequest {
            sha256_hex: sha256_hex.to_owned(),
            data_oneof: Some(data),
        };
        let deadline = tokio::time::Instant::now() + UPLOAD_TIMEOUT;
        loop {
            let put = self.control.call(
                "MountPutFile",
                request.clone(),
                |mut client, request| async move { client.mount_put_file(request).await },
            );
            if put.await?.exists {
                return Ok(());
            }
            if tokio::time::Instant::now() > deadline {
                let seconds = UPLOAD_TIMEOUT.as_secs();
                return Err(ModalError::Upload(format!(
                    "it was not there after {seconds} s"
                )));
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    async fn blob(&self, bytes: Vec<u8>, digest: &[u8]) -> Result<String, ModalError> {
        let md5 = BASE64_STANDARD.encode(Md5::digest(&bytes));
        let request = BlobCreateRequest {
            content_md5: md5.clone(),
            content_sha256_base64: BASE64_STANDARD.encode(digest),
            content_length: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
        };
        let made = self
            .control
            .call("BlobCreate", request, |mut client, request| async move {
                client.blob_create(request).await
            });
        let bytes = bytes::Bytes::from(bytes);
        let mut failed = "Modal named no place for it".to_owned();
        for (id, url) in places(made.await?) {
            match put(&url, bytes.clone(), &md5).await {
                Ok(()) => return Ok(id),
                Err(why) => failed = why,
            }
        }
        Err(ModalError::Upload(failed))
    }
}

fn base(image_id: String) -> BaseImage {
    BaseImage {
        image_id,
        docker_tag: "base".to_owned(),
    }
}

fn is_over(result: &GenericResult) -> bool {
    result.status() != GenericStatus::Unspecified
}

/// Where a blob may go, each with the name that it has there.
fn places(made: BlobCreateResponse) -> Vec<(String, String)> {
    match (made.upload_types_oneof, made.upload_type_oneof) {
        (Some(UploadTypesOneof::UploadUrls(urls)), _) => {
            made.blob_ids.into_iter().zip(urls.items).collect()
        }
        (None, Some(UploadTypeOneof::UploadUrl(url))) => vec![(made.blob_id, url)],
        (None, None) => Vec::new(),
    }
}

async fn put(url: &str, bytes: bytes::Bytes, md5: &str) -> Result<(), String> {
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = reqwest::Client::builder().timeout(UPLOAD_TIMEOUT).build();
    let request = client
        .map_err(|error| error.to_string())?
        .put(url)
        .header("content-md5", md5)
        .body(bytes);
    // The address holds a signature.
    let answer = request
        .send()
        .await
        .map_err(|error| error.without_url().to_string())?;
    match answer.status() {
        status if status.is_success() => Ok(()),
        status => Err(format!("the store answered {status}")),
    }
}
