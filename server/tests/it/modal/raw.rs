//! Modal's calls one by one, as a client makes them that leaves nothing to a library.

use pullwright_modal_double::{Double, TOKEN_ID, TOKEN_SECRET};
use pullwright_sandbox::modal::wire::client::modal_client_client::ModalClientClient;
use pullwright_sandbox::modal::wire::client::network_access::NetworkAccessType;
use pullwright_sandbox::modal::wire::client::{
    AppGetOrCreateRequest, AuthTokenGetRequest, Image, ImageGetOrCreateRequest, NetworkAccess,
    ObjectCreationType, Sandbox, SandboxCreateV2Request, SandboxCreateV2Response,
};
use pullwright_sandbox::modal::wire::task_command_router::task_command_router_client::TaskCommandRouterClient;
use pullwright_sandbox::modal::wire::task_command_router::{
    TaskExecPollRequest, TaskExecStartRequest, TaskExecStdinStatusRequest,
    TaskExecStdinStatusResponse, TaskExecStdinWriteRequest, TaskExecStdioFileDescriptor,
    TaskExecStdioReadRequest, TaskExecStdioReadResponse,
};
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

/// The control plane.
#[derive(Clone)]
pub(super) struct Raw {
    pub(super) client: ModalClientClient<Channel>,
    auth: String,
    app_id: String,
    image_id: String,
}

impl Raw {
    /// With an app and an image, in the default environment.
    pub(super) async fn new(double: &Double) -> Self {
        Self::of_environment(double, "").await
    }

    pub(super) async fn of_environment(double: &Double, environment: &str) -> Self {
        let client = ModalClientClient::new(connected(double.url()).await);
        let mut raw = Self {
            client,
            auth: String::new(),
            app_id: String::new(),
            image_id: String::new(),
        };
        let request = raw.signed(AuthTokenGetRequest {});
        let answer = raw.client.auth_token_get(request).await.unwrap();
        raw.auth = answer.into_inner().token;
        let request = raw.signed(AppGetOrCreateRequest {
            app_name: "raw".to_owned(),
            environment_name: environment.to_owned(),
            object_creation_type: ObjectCreationType::CreateIfMissing.into(),
        });
        let answer = raw.client.app_get_or_create(request).await.unwrap();
        raw.app_id = answer.into_inner().app_id;
        let request = raw.signed(ImageGetOrCreateRequest {
            image: Some(Image {
                dockerfile_commands: vec!["FROM debian:12".to_owned()],
                ..Image::default()
            }),
            ..ImageGetOrCreateRequest::default()
        });
        let answer = raw.client.image_get_or_create(request).await.unwrap();
        raw.image_id = answer.into_inner().image_id;
        raw
    }

    /// A request of one who may make it.
    pub(super) fn signed<Q>(&self, request: Q) -> Request<Q> {
        let mut request = Request::new(request);
        for (name, value) in [
            ("x-modal-client-version", "1.0.0"),
            ("x-modal-client-type", "7"),
            ("x-modal-token-id", TOKEN_ID),
            ("x-modal-token-secret", TOKEN_SECRET),
            ("x-modal-auth-token", &self.auth),
        ] {
            request.metadata_mut().insert(name, value.parse().unwrap());
        }
        request
    }

    /// A request about a sandbox, by one who shows this token for it.
    pub(super) fn about<Q>(&self, token: Option<&String>, request: Q) -> Request<Q> {
        let mut request = self.signed(request);
        if let Some(token) = token {
            let metadata = request.metadata_mut();
            metadata.insert("x-modal-sandbox-token", token.parse().unwrap());
        }
        request
    }

    /// A sandbox without a network, that may be there for a minute.
    pub(super) fn definition(&self) -> Sandbox {
        Sandbox {
            image_id: self.image_id.clone(),
            timeout_secs: 60,
            network_access: Some(NetworkAccess {
                network_access_type: NetworkAccessType::Blocked.into(),
                ..NetworkAccess::default()
            }),
            ..Sandbox::default()
        }
    }

    /// Makes a sandbox, and only one for each `key`.
    pub(super) async fn create(
        &self,
        key: &str,
        definition: Sandbox,
    ) -> Result<SandboxCreateV2Response, Status> {
        let mut request = self.signed(SandboxCreateV2Request {
            app_id: self.app_id.clone(),
            definition: Some(definition),
            ..SandboxCreateV2Request::default()
        });
        let metadata = request.metadata_mut();
        metadata.insert("x-idempotency-key", key.parse().unwrap());
        let made = self.client.clone().sandbox_create_v2(request).await;
        made.map(tonic::Response::into_inner)
    }

    /// A sandbox of its own.
    pub(super) async fn sandbox(&self) -> RawRouter {
        let key = uuid::Uuid::new_v4().to_string();
        let made = self.create(&key, self.definition()).await.unwrap();
        RawRouter::of(&made).await
    }
}

/// The command router of one sandbox.
#[derive(Clone)]
pub(super) struct RawRouter {
    pub(super) client: TaskCommandRouterClient<Channel>,
    pub(super) task_id: String,
    jwt: String,
}

impl RawRouter {
    pub(super) async fn of(made: &SandboxCreateV2Response) -> Self {
        let access = made.command_router_access.clone().unwrap();
        let client = TaskCommandRouterClient::new(connected(access.url).await);
        Self {
            client: client.max_encoding_message_size(usize::MAX),
            task_id: made.task_id.clone(),
            jwt: access.jwt,
        }
    }

    pub(super) fn signed<Q>(&self, request: Q) -> Request<Q> {
        let mut request = Request::new(request);
        let bearer = format!("Bearer {}", self.jwt);
        let metadata = request.metadata_mut();
        metadata.insert("authorization", bearer.parse().unwrap());
        request
    }

    pub(super) async fn start(&self, exec_id: &str, script: &str) -> Result<(), Status> {
        let request = self.signed(TaskExecStartRequest {
            task_id: self.task_id.clone(),
            exec_id: exec_id.to_owned(),
            command_args: ["sh", "-c", script].map(str::to_owned).to_vec(),
            ..TaskExecStartRequest::default()
        });
        let started = self.client.clone().task_exec_start(request).await;
        started.map(|_| ())
    }

    /// Whether a process was started, even if it has ended.
    pub(super) async fn is_there(&self, exec_id: &str) -> bool {
        let request = self.signed(TaskExecPollRequest {
            task_id: self.task_id.clone(),
            exec_id: exec_id.to_owned(),
        });
        self.client.clone().task_exec_poll(request).await.is_ok()
    }

    /// Writes `data` and, where it is not all, leaves the input open.
    pub(super) async fn write(
        &self,
        exec_id: &str,
        offset: usize,
        data: Vec<u8>,
        eof: bool,
    ) -> Result<(), Status> {
        let request = self.signed(TaskExecStdinWriteRequest {
            task_id: self.task_id.clone(),
            exec_id: exec_id.to_owned(),
            offset: offset as u64,
            data: data.into(),
            eof,
        });
        let written = self.client.clone().task_exec_stdin_write(request).await;
        written.map(|_| ())
    }

    pub(super) async fn input(&self, exec_id: &str) -> TaskExecStdinStatusResponse {
        let request = self.signed(TaskExecStdinStatusRequest {
            task_id: self.task_id.clone(),
            exec_id: exec_id.to_owned(),
        });
        let stands = self.client.clone().task_exec_stdin_status(request).await;
        stands.unwrap().into_inner()
    }

    /// What a process prints, piece by piece.
    pub(super) async fn read(&self, exec_id: &str) -> Streaming<TaskExecStdioReadResponse> {
        let request = self.signed(TaskExecStdioReadRequest {
            task_id: self.task_id.clone(),
            exec_id: exec_id.to_owned(),
            offset: 0,
            file_descriptor: TaskExecStdioFileDescriptor::Stdout.into(),
        });
        let stream = self.client.clone().task_exec_stdio_read(request).await;
        stream.unwrap().into_inner()
    }

    /// The pieces of all that a process prints.
    pub(super) async fn pieces(&self, exec_id: &str) -> Vec<Vec<u8>> {
        let mut stream = self.read(exec_id).await;
        let mut pieces = Vec::new();
        while let Some(piece) = stream.message().await.unwrap() {
            pieces.push(piece.data.to_vec());
        }
        pieces
    }
}

async fn connected(url: String) -> Channel {
    let endpoint = Channel::from_shared(url).unwrap();
    endpoint.connect().await.unwrap()
}
