//! The control plane.

mod build;
mod entry;
mod list;

use std::sync::Arc;
use std::time::Duration;

use pullwright_sandbox::modal::wire::client::blob_create_response::UploadTypesOneof;
use pullwright_sandbox::modal::wire::client::generic_result::GenericStatus;
use pullwright_sandbox::modal::wire::client::modal_client_server::ModalClient;
use pullwright_sandbox::modal::wire::client::mount_put_file_request::DataOneof;
use pullwright_sandbox::modal::wire::client::sandbox_get_command_router_access_request::Target;
use pullwright_sandbox::modal::wire::client::{
    AppGetOrCreateRequest, AppGetOrCreateResponse, AuthTokenGetRequest, AuthTokenGetResponse,
    BlobCreateRequest, BlobCreateResponse, ClientHelloResponse, CommandRouterAccess,
    EnvironmentGetOrCreateRequest, EnvironmentGetOrCreateResponse, EnvironmentMetadata,
    EnvironmentSettings, GenericResult, ImageFromIdRequest, ImageFromIdResponse,
    ImageGetOrCreateRequest, ImageGetOrCreateResponse, ImageJoinStreamingRequest,
    ImageJoinStreamingResponse, ImageMetadata, MountBatchedCheckExistenceRequest,
    MountBatchedCheckExistenceResponse, MountGetOrCreateRequest, MountGetOrCreateResponse,
    MountHandleMetadata, MountPutFileRequest, MountPutFileResponse, SandboxCreateV2Request,
    SandboxCreateV2Response, SandboxGetCommandRouterAccessRequest,
    SandboxGetCommandRouterAccessResponse, SandboxGetResourceUsageRequest,
    SandboxGetResourceUsageResponse, SandboxGetTaskIdRequest, SandboxGetTaskIdResponse,
    SandboxGetTunnelsRequest, SandboxGetTunnelsResponse, SandboxListRequest, SandboxListResponse,
    SandboxSnapshotFsRequest, SandboxSnapshotFsResponse, SandboxTagsGetRequest,
    SandboxTagsGetResponse, SandboxTagsSetRequest, SandboxTerminateRequest,
    SandboxTerminateResponse, SandboxWaitRequest, SandboxWaitResponse, UploadUrlList,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::Shared;
use crate::apps::environment;
use build::done;
use entry::answer;

/// What the account's token is for.
const ACCOUNT: &str = "account";

/// The builder that an environment names.
const BUILDER_VERSION: &str = "2025.06";

/// A call that the real one does not take longer for.
const LONGEST_POLL: Duration = Duration::from_secs(10);

/// The control plane of one account.
pub(crate) struct Control(pub(crate) Arc<Shared>);

#[tonic::async_trait]
impl ModalClient for Control {
    type ImageJoinStreamingStream = ReceiverStream<Result<ImageJoinStreamingResponse, Status>>;

    async fn client_hello(
        &self,
        request: Request<()>,
    ) -> Result<Response<ClientHelloResponse>, Status> {
        let after = self.enter("ClientHello", request.metadata()).await?;
        let hello = ClientHelloResponse {
            image_builder_version: BUILDER_VERSION.to_owned(),
            ..ClientHelloResponse::default()
        };
        answer(hello, after)
    }

    async fn auth_token_get(
        &self,
        request: Request<AuthTokenGetRequest>,
    ) -> Result<Response<AuthTokenGetResponse>, Status> {
        let after = self.enter("AuthTokenGet", request.metadata()).await?;
        let token = self.0.tokens.give(ACCOUNT);
        answer(AuthTokenGetResponse { token }, after)
    }

    async fn app_get_or_create(
        &self,
        request: Request<AppGetOrCreateRequest>,
    ) -> Result<Response<AppGetOrCreateResponse>, Status> {
        let after = self.enter("AppGetOrCreate", request.metadata()).await?;
        let app_id = self.0.apps.get_or_create(&request.into_inner())?;
        answer(AppGetOrCreateResponse { app_id }, after)
    }

    async fn environment_get_or_create(
        &self,
        request: Request<EnvironmentGetOrCreateRequest>,
    ) -> Result<Response<EnvironmentGetOrCreateResponse>, Status> {
        let after = self
            .enter("EnvironmentGetOrCreate", request.metadata())
            .await?;
        let name = environment(&request.into_inner().deployment_name).to_owned();
        let settings = EnvironmentSettings {
            image_builder_version: BUILDER_VERSION.to_owned(),
        };
        let environment = EnvironmentGetOrCreateResponse {
            environment_id: format!("en-{name}"),
            metadata: Some(EnvironmentMetadata {
                name,
                settings: Some(settings),
            }),
        };
        answer(environment, after)
    }

    async fn image_get_or_create(
        &self,
        request: Request<ImageGetOrCreateRequest>,
    ) -> Result<Response<ImageGetOrCreateResponse>, Status> {
        let after = self.enter("ImageGetOrCreate", request.metadata()).await?;
        let request = request.into_inner();
        let (image_id, known) = self
            .0
            .images
            .get_or_create(&request.image.unwrap_or_default())?;
        let result = match known.result {
            Some(result) => result,
            None if known.run.is_empty() => done(GenericStatus::Success, ""),
            None => GenericResult::default(),
        };
        let image = ImageGetOrCreateResponse {
            image_id,
            result: Some(result),
            metadata: Some(ImageMetadata::default()),
        };
        answer(image, after)
    }

    async fn image_join_streaming(
        &self,
        request: Request<ImageJoinStreamingRequest>,
    ) -> Result<Response<Self::ImageJoinStreamingStream>, Status> {
        let after = self.enter("ImageJoinStreaming", request.metadata()).await?;
        let image_id = request.into_inner().image_id;
        let known = self.0.images.find(&image_id)?;
        let (log, stream) = mpsc::channel(16);
        let this = Self(Arc::clone(&self.0));
        self.0.tasks.spawn(async move {
            let result = match known.result {
                Some(result) => Ok(result),
                None => this.build(&image_id, &known.run, &log).await,
            };
            let last = result.map(|result| ImageJoinStreamingResponse {
                result: Some(result),
                eof: true,
                metadata: Some(ImageMetadata::default()),
                ..ImageJoinStreamingResponse::default()
            });
            let _ = log.send(last).await;
        });
        answer(ReceiverStream::new(stream), after)
    }

    async fn image_from_id(
        &self,
        request: Request<ImageFromIdRequest>,
    ) -> Result<Response<ImageFromIdResponse>, Status> {
        let after = self.enter("ImageFromId", request.metadata()).await?;
        let image_id = request.into_inner().image_id;
        self.0.images.find(&image_id)?;
        let image = ImageFromIdResponse {
            image_id,
            metadata: Some(ImageMetadata::default()),
        };
        answer(image, after)
    }

    async fn mount_batched_check_existence(
        &self,
        request: Request<MountBatchedCheckExistenceRequest>,
    ) -> Result<Response<MountBatchedCheckExistenceResponse>, Status> {
        let after = self
            .enter("MountBatchedCheckExistence", request.metadata())
            .await?;
        let hashes = request.into_inner().sha256_hex_hashes.into_iter();
        let missing_sha256_hex_hashes =
            hashes.filter(|hash| !self.0.blobs.has_file(hash)).collect();
        answer(
            MountBatchedCheckExistenceResponse {
                missing_sha256_hex_hashes,
            },
            after,
        )
    }

    async fn mount_put_file(
        &self,
        request: Request<MountPutFileRequest>,
    ) -> Result<Response<MountPutFileResponse>, Status> {
        let after = self.enter("MountPutFile", request.metadata()).await?;
        let request = request.into_inner();
        match request.data_oneof {
            Some(DataOneof::Data(data)) => self.0.blobs.put_file(&request.sha256_hex, &data)?,
            Some(DataOneof::DataBlobId(id)) => {
                let data = self.0.blobs.blob(&id)?;
                self.0.blobs.put_file(&request.sha256_hex, &data)?;
            }
            None => {}
        }
        let exists = self.0.blobs.has_file(&request.sha256_hex);
        answer(MountPutFileResponse { exists }, after)
    }

    async fn mount_get_or_create(
        &self,
        request: Request<MountGetOrCreateRequest>,
    ) -> Result<Response<MountGetOrCreateResponse>, Status> {
        let after = self.enter("MountGetOrCreate", request.metadata()).await?;
        let files = request.into_inner().files;
        if let Some(missing) = files
            .iter()
            .find(|file| !self.0.blobs.has_file(&file.sha256_hex))
        {
            return Err(Status::failed_precondition(format!(
                "{} is not there",
                missing.filename
            )));
        }
        let mount = MountGetOrCreateResponse {
            mount_id: self.0.images.mount(files),
            handle_metadata: Some(MountHandleMetadata::default()),
        };
        answer(mount, after)
    }

    async fn blob_create(
        &self,
        request: Request<BlobCreateRequest>,
    ) -> Result<Response<BlobCreateResponse>, Status> {
        let after = self.enter("BlobCreate", request.metadata()).await?;
        let id = self.0.blobs.announce(request.into_inner());
        let url = format!("{}/blobs/{id}", self.0.url);
        let blob = BlobCreateResponse {
            blob_id: id.clone(),
            blob_ids: vec![id],
            upload_types_oneof: Some(UploadTypesOneof::UploadUrls(UploadUrlList {
                items: vec![url],
            })),
            ..BlobCreateResponse::default()
        };
        answer(blob, after)
    }

    async fn sandbox_create_v2(
        &self,
        request: Request<SandboxCreateV2Request>,
    ) -> Result<Response<SandboxCreateV2Response>, Status> {
        let after = self.enter("SandboxCreateV2", request.metadata()).await?;
        let (metadata, _, request) = request.into_parts();
        let key = metadata.get("x-idempotency-key");
        let key = key.and_then(|key| key.to_str().ok()).map(str::to_owned);
        let key = key.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        let shared = Arc::clone(&self.0);
        let making = async move {
            shared.faults.during("SandboxCreateV2").await;
            shared.make(request).await
        };
        let machine = self
            .0
            .created
            .get_or_do(&self.0.tasks, &key, making)
            .await?;
        answer(self.made(&machine, &metadata), after)
    }

    async fn sandbox_wait_v2(
        &self,
        request: Request<SandboxWaitRequest>,
    ) -> Result<Response<SandboxWaitResponse>, Status> {
        let after = self.enter("SandboxWaitV2", request.metadata()).await?;
        let (metadata, _, request) = request.into_parts();
        let machine = self.sandbox(&request.sandbox_id, &metadata)?;
        let result = machine.wait(seconds(request.timeout)).await;
        let result = Some(result.unwrap_or_default());
        answer(SandboxWaitResponse { result }, after)
    }

    async fn sandbox_terminate_v2(
        &self,
        request: Request<SandboxTerminateRequest>,
    ) -> Result<Response<SandboxTerminateResponse>, Status> {
        let after = self.enter("SandboxTerminateV2", request.metadata()).await?;
        let (metadata, _, request) = request.into_parts();
        let machine = self.sandbox(&request.sandbox_id, &metadata)?;
        let existing_result = machine.ended();
        machine.end(GenericStatus::Terminated, 0).await;
        answer(SandboxTerminateResponse { existing_result }, after)
    }

    async fn sandbox_get_task_id_v2(
        &self,
        request: Request<SandboxGetTaskIdRequest>,
    ) -> Result<Response<SandboxGetTaskIdResponse>, Status> {
        let after = self.enter("SandboxGetTaskIdV2", request.metadata()).await?;
        let (metadata, _, request) = request.into_parts();
        let machine = self.sandbox(&request.sandbox_id, &metadata)?;
        let limit = request.timeout.map_or(LONGEST_POLL, seconds);
        machine.scheduled(limit).await;
        let task = SandboxGetTaskIdResponse {
            task_id: machine.is_scheduled().then(|| machine.task_id.clone()),
            task_result: machine.ended(),
        };
        answer(task, after)
    }

    async fn sandbox_get_command_router_access(
        &self,
        request: Request<SandboxGetCommandRouterAccessRequest>,
    ) -> Result<Response<SandboxGetCommandRouterAccessResponse>, Status> {
        let after = self
            .enter("SandboxGetCommandRouterAccess", request.metadata())
            .await?;
        let (metadata, _, request) = request.into_parts();
        let machine = match request.target {
            Some(Target::SandboxId(id)) => self.sandbox(&id, &metadata)?,
            Some(Target::TaskId(id)) => {
                let id = self.0.machines.find_task(&id)?.id.clone();
                self.sandbox(&id, &metadata)?
            }
            None => return Err(Status::invalid_argument("no sandbox is named")),
        };
        if machine.ended().is_some() || !machine.is_scheduled() {
            let why = "the sandbox has ended, or there is no machine for it yet";
            return Err(Status::failed_precondition(why));
        }
        let CommandRouterAccess { jwt, url } = self.access(&machine, &metadata);
        answer(SandboxGetCommandRouterAccessResponse { jwt, url }, after)
    }

    async fn sandbox_get_tunnels_v2(
        &self,
        request: Request<SandboxGetTunnelsRequest>,
    ) -> Result<Response<SandboxGetTunnelsResponse>, Status> {
        let after = self
            .enter("SandboxGetTunnelsV2", request.metadata())
            .await?;
        answer(SandboxGetTunnelsResponse::default(), after)
    }

    async fn sandbox_list_v2(
        &self,
        request: Request<SandboxListRequest>,
    ) -> Result<Response<SandboxListResponse>, Status> {
        let after = self.enter("SandboxListV2", request.metadata()).await?;
        let request = request.into_inner();
        let sandboxes = list::wanted(&request, self.0.machines.all());
        answer(SandboxListResponse { sandboxes }, after)
    }

    async fn sandbox_tags_get_v2(
        &self,
        request: Request<SandboxTagsGetRequest>,
    ) -> Result<Response<SandboxTagsGetResponse>, Status> {
        let after = self.enter("SandboxTagsGetV2", request.metadata()).await?;
        let (metadata, _, request) = request.into_parts();
        let machine = self.sandbox(&request.sandbox_id, &metadata)?;
        let tags = machine
            .tags
            .lock()
            .map(|tags| tags.clone())
            .unwrap_or_default();
        answer(SandboxTagsGetResponse { tags }, after)
    }

    async fn sandbox_tags_set_v2(
        &self,
        request: Request<SandboxTagsSetRequest>,
    ) -> Result<Response<()>, Status> {
        let after = self.enter("SandboxTagsSetV2", request.metadata()).await?;
        let (metadata, _, request) = request.into_parts();
        let machine = self.sandbox(&request.sandbox_id, &metadata)?;
        if let Ok(mut tags) = machine.tags.lock() {
            *tags = request.tags;
        }
        answer((), after)
    }

    async fn sandbox_get_resource_usage(
        &self,
        request: Request<SandboxGetResourceUsageRequest>,
    ) -> Result<Response<SandboxGetResourceUsageResponse>, Status> {
        let after = self
            .enter("SandboxGetResourceUsage", request.metadata())
            .await?;
        let (metadata, _, request) = request.into_parts();
        let machine = self.sandbox(&request.sandbox_id, &metadata)?;
        // As much as was asked for, for as long as it was there.
        let lived = machine.lived_nanoseconds();
        let usage = SandboxGetResourceUsageResponse {
            cpu_core_nanosecs: lived / 8,
            mem_gib_nanosecs: lived,
        };
        answer(usage, after)
    }

    async fn sandbox_snapshot_fs(
        &self,
        request: Request<SandboxSnapshotFsRequest>,
    ) -> Result<Response<SandboxSnapshotFsResponse>, Status> {
        let after = self.enter("SandboxSnapshotFs", request.metadata()).await?;
        let (metadata, _, request) = request.into_parts();
        let machine = self.sandbox(&request.sandbox_id, &metadata)?;
        let snapshot = SandboxSnapshotFsResponse {
            image_id: self
                .0
                .images
                .snapshot(&machine.image_id, machine.archive().await?)?,
            result: Some(done(GenericStatus::Success, "")),
        };
        answer(snapshot, after)
    }
}

/// How long a poll takes that asks for `seconds`.
fn seconds(seconds: f32) -> Duration {
    let asked = Duration::try_from_secs_f32(seconds).unwrap_or_default();
    asked.min(LONGEST_POLL)
}
