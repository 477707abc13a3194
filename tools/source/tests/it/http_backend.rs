//! Git's own smart HTTP server behind a loopback listener, with the ways a remote can misbehave.
//!
//! Stands alone on axum, tokio, futures-util and base64, so that other crates' tests can use it.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test uses its own part"
)]

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::watch;

/// The largest request body, in bytes.
const MAX_BODY_BYTES: usize = 256 << 20;

/// What the server does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Behaviour {
    /// Serves everybody.
    Open,
    /// Serves who knows the name and password.
    Password { user: String, password: String },
    /// Serves whoever knows the name and a password that begins like this.
    Token { user: String, begin: String },
    /// The same for reads. A write is refused, and the answer repeats the credential in every way it can be
    /// written.
    Echo { user: String, begin: String },
    /// Serves reads to all, refuses writes with 403.
    ReadOnly,
    /// Serves everybody as servers of long ago do: by git's first protocol, which gives out branches only.
    FirstProtocol,
    /// Sends everybody to the same path at another origin.
    Redirect(String),
    /// Accepts and never answers.
    Stall,
    /// Answers without end.
    Endless,
}

/// One request as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
}

/// A running server; it ends with its value.
pub(crate) struct HttpBackend {
    address: std::net::SocketAddr,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    root: PathBuf,
    behaviour: Behaviour,
    seen: Mutex<Vec<Seen>>,
    leaks: Mutex<Vec<String>>,
    /// What everybody is answered with for now, if anything, and how often that was.
    refusal: Mutex<Option<StatusCode>>,
    refused: watch::Sender<usize>,
    authorized: Mutex<usize>,
    packs: Mutex<usize>,
    sent: Mutex<usize>,
}

impl HttpBackend {
    /// Serves the bare repositories below `root`.
    pub(crate) async fn start(root: PathBuf, behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            root,
            behaviour,
            seen: Mutex::default(),
            leaks: Mutex::default(),
            refusal: Mutex::default(),
            refused: watch::Sender::default(),
            authorized: Mutex::default(),
            packs: Mutex::default(),
            sent: Mutex::default(),
        });
        let app = Router::new()
            .fallback(handle)
            .with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            address,
            shared,
            task,
        }
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn url(&self, repository: &str) -> String {
        format!("{}/{repository}", self.origin())
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// How many requests came with the right password.
    pub(crate) fn authorized(&self) -> usize {
        *self.shared.authorized.lock().unwrap()
    }

    /// How many packs were sent: asking for branches brings none.
    pub(crate) fn packs(&self) -> usize {
        *self.shared.packs.lock().unwrap()
    }

    /// How many bytes were sent in answers that bring objects.
    pub(crate) fn sent(&self) -> usize {
        *self.shared.sent.lock().unwrap()
    }

    /// Answers everybody with this status from now on; as it should again where there is none.
    pub(crate) fn refuse(&self, status: Option<StatusCode>) {
        *self.shared.refusal.lock().unwrap() = status;
    }

    /// Waits until somebody was refused so.
    pub(crate) async fn until_refused(&self) {
        let mut refused = self.shared.refused.subscribe();
        refused.wait_for(|times| *times > 0).await.unwrap();
    }

    /// Processes whose arguments or environment held the password while a request was served.
    pub(crate) fn leaks(&self) -> Vec<String> {
        self.shared.leaks.lock().unwrap().clone()
    }
}

impl Drop for HttpBackend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn handle(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    note(&shared, &request);
    let refusal = *shared.refusal.lock().unwrap();
    if let Some(status) = refusal {
        shared.refused.send_modify(|times| *times += 1);
        return status.into_response();
    }
    match &shared.behaviour {
        Behaviour::Open => serve(&shared, request).await,
        Behaviour::Password { user, password } => {
            let known = given(request.headers(), user).filter(|given| given == password);
            serve_known(&shared, request, known).await
        }
        Behaviour::Token { user, begin } => {
            let known = given(request.headers(), user).filter(|given| given.starts_with(begin));
            serve_known(&shared, request, known).await
        }
        Behaviour::Echo { user, begin } => {
            let known = given(request.headers(), user).filter(|given| given.starts_with(begin));
            match known {
                Some(password) if request.uri().to_string().contains("receive-pack") => {
                    echo(request.headers(), &password)
                }
                known => serve_known(&shared, request, known).await,
            }
        }
        Behaviour::ReadOnly if request.uri().to_string().contains("receive-pack") => {
            StatusCode::FORBIDDEN.into_response()
        }
        Behaviour::FirstProtocol => {
            let mut request = request;
            request.headers_mut().remove("git-protocol");
            serve(&shared, request).await
        }
        Behaviour::ReadOnly => serve(&shared, request).await,
        Behaviour::Redirect(origin) => {
            let to = format!("{origin}{}", request.uri());
            (StatusCode::FOUND, [(header::LOCATION, to)]).into_response()
        }
        Behaviour::Stall => std::future::pending().await,
        Behaviour::Endless => endless(&request),
    }
}

fn note(shared: &Shared, request: &Request) {
    let authorization = request.headers().get(header::AUTHORIZATION);
    shared.seen.lock().unwrap().push(Seen {
        method: request.method().to_string(),
        path: request.uri().to_string(),
        authorization: authorization.map(|value| value.to_str().unwrap_or("?").to_owned()),
    });
}

/// The password that came with this name.
fn given(headers: &HeaderMap, user: &str) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let pair = STANDARD.decode(value.strip_prefix("Basic ")?).ok()?;
    let pair = String::from_utf8(pair).ok()?;
    let password = pair.strip_prefix(user)?.strip_prefix(':')?;
    Some(password.to_owned())
}

/// Serves who came with the right password, and asks the others for one.
async fn serve_known(shared: &Shared, request: Request, password: Option<String>) -> Response {
    let Some(password) = password else {
        let ask = [(header::WWW_AUTHENTICATE, "Basic realm=\"git\"")];
        return (StatusCode::UNAUTHORIZED, ask).into_response();
    };
    *shared.authorized.lock().unwrap() += 1;
    let leaks = processes_with(&password);
    shared.leaks.lock().unwrap().extend(leaks);
    serve(shared, request).await
}

/// A refusal that git shows to its user, line by line.
fn echo(headers: &HeaderMap, password: &str) -> Response {
    let sent = headers[header::AUTHORIZATION].to_str().unwrap();
    let escaped = password
        .replace('+', "%2B")
        .replace('/', "%2F")
        .replace('=', "%3D");
    let body = format!(
        "you sent {sent}\nwhich is {password}\nor {}\nor {escaped}\n",
        STANDARD.encode(password)
    );
    let plain = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    (StatusCode::FORBIDDEN, plain, body).into_response()
}

/// An advertisement that goes on with references for ever.
fn endless(request: &Request) -> Response {
    let service = if request.uri().to_string().contains("receive-pack") {
        "application/x-git-receive-pack-advertisement"
    } else {
        "application/x-git-upload-pack-advertisement"
    };
    let start = futures_util::stream::once(async {
        Ok::<_, std::io::Error>(Bytes::from_static(b"001e# service=git-upload-pack\n0000"))
    });
    let mut number = 0_u64;
    let lines = futures_util::stream::repeat_with(move || {
        number += 1;
        let line = format!("{:040x} refs/heads/b{number}\n", number + 1);
        Ok(Bytes::from(format!("{:04x}{line}", line.len() + 4)))
    });
    let body = Body::from_stream(futures_util::StreamExt::chain(start, lines));
    ([(header::CONTENT_TYPE, service)], body).into_response()
}

async fn serve(shared: &Shared, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_BODY_BYTES).await.unwrap();
    let value = |name: &str| {
        parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned()
    };
    let mut child = Command::new("git")
        .arg("http-backend")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", &shared.root)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_PROJECT_ROOT", &shared.root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REMOTE_USER", "tester")
        .env("REMOTE_ADDR", "127.0.0.1")
        .env("REQUEST_METHOD", parts.method.as_str())
        .env("PATH_INFO", parts.uri.path())
        .env("QUERY_STRING", parts.uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", value("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", value("content-encoding"))
        .env("GIT_PROTOCOL", value("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let feed = tokio::spawn(async move { stdin.write_all(&body).await });
    let output = child.wait_with_output().await.unwrap();
    let _ = feed.await;
    if sends_pack(&output.stdout) {
        *shared.packs.lock().unwrap() += 1;
        *shared.sent.lock().unwrap() += output.stdout.len();
    }
    from_cgi(&output.stdout)
}

/// Whether an answer of protocol 2 brings objects.
fn sends_pack(answer: &[u8]) -> bool {
    const MARK: &[u8] = b"000dpackfile\n";
    const HEAD_BYTES: usize = 64 << 10;
    let head = &answer[..answer.len().min(HEAD_BYTES)];
    head.windows(MARK.len()).any(|window| window == MARK)
}

/// Turns a CGI answer into an HTTP one.
fn from_cgi(output: &[u8]) -> Response {
    let Some(end) = output.windows(4).position(|window| window == b"\r\n\r\n") else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    let mut response = Response::new(Body::from(output[end + 4..].to_vec()));
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        let (name, value) = line.split_once(": ").unwrap();
        if name == "Status" {
            let code = value.split(' ').next().unwrap().parse::<u16>().unwrap();
            *response.status_mut() = StatusCode::from_u16(code).unwrap();
        } else {
            let name: HeaderName = name.parse().unwrap();
            response
                .headers_mut()
                .insert(name, HeaderValue::from_str(value).unwrap());
        }
    }
    response
}

/// Every process of this machine that shows the text in its arguments or environment.
fn processes_with(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        for file in ["cmdline", "environ"] {
            let bytes = std::fs::read(entry.path().join(file)).unwrap_or_default();
            if bytes
                .windows(text.len())
                .any(|window| window == text.as_bytes())
            {
                found.push(entry.path().join(file).display().to_string());
            }
        }
    }
    found
}
