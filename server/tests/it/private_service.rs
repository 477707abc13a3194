//! A model inside of a company's network: behind a proxy, with a certificate of the company's own
//! authority, and a key that a command prints.

use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// A name that only the proxy knows.
const HOST: &str = "models.internal.test";
const KEY: &str = "sk-printed-by-a-command-0123456789";

const REPLY: &str = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"from inside\"}}]}\n\n\
     data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
     data: [DONE]\n\n";

/// The service and the proxy before it.
struct Inside {
    proxy: String,
    ca: String,
    /// The heads of all requests, the proxy's too.
    heads: Arc<Mutex<Vec<String>>>,
}

impl Inside {
    async fn start() -> Self {
        let (tls, ca) = identity();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = service.local_addr().unwrap();
        let seen = Arc::clone(&heads);
        tokio::spawn(async move {
            while let Ok((stream, _)) = service.accept().await {
                let (tls, seen) = (tls.clone(), Arc::clone(&seen));
                tokio::spawn(async move {
                    // A client that does not trust us breaks off.
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(BufStream::new(stream), &seen).await;
                    }
                });
            }
        });
        let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", proxy.local_addr().unwrap());
        let seen = Arc::clone(&heads);
        tokio::spawn(async move {
            while let Ok((client, _)) = proxy.accept().await {
                let seen = Arc::clone(&seen);
                tokio::spawn(async move {
                    let mut client = BufStream::new(client);
                    let head = head(&mut client).await;
                    let known = head.starts_with(&format!("CONNECT {HOST}:443 "));
                    seen.lock().unwrap().push(head);
                    assert!(known, "the proxy knows {HOST} only");
                    client
                        .write_all(b"HTTP/1.1 200 Connected\r\n\r\n")
                        .await
                        .unwrap();
                    client.flush().await.unwrap();
                    let mut service = TcpStream::connect(address).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut service).await;
                });
            }
        });
        Self {
            proxy: url,
            ca,
            heads,
        }
    }

    async fn ask(&self, folder: &Path, row: &str) -> Output {
        let text = format!(
            "[agent]\nprovider = \"mine\"\n\n[repositories]\nhosts = [\"example.com\"]\n\
             [providers.mine]\nwire_api = \"openai_chat\"\nmodel = \"m\"\n\
             base_url = \"https://{HOST}/v1\"\nauth = {{ command = [\"./print-key\"] }}\n{row}"
        );
        std::fs::write(folder.join("plugins.toml"), text).unwrap();
        std::fs::write(folder.join("ca.pem"), &self.ca).unwrap();
        script(
            &folder.join("print-key"),
            &format!("#!/bin/sh\necho {KEY}\n"),
        );
        let mut command = Command::new(env!("CARGO_BIN_EXE_pullwright"));
        command
            .args(["providers", "ask", "mine", "hi", "--config"])
            .arg(folder.join("plugins.toml"))
            .env("HTTPS_PROXY", &self.proxy)
            .env("RUST_LOG", "trace")
            .env_remove("NO_PROXY")
            .env_remove("no_proxy");
        command.output().await.unwrap()
    }
}

fn script(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// A service's certificate and, as PEM, the authority that signed it.
fn identity() -> (TlsAcceptor, String) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new([HOST.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    let provider = Arc::new(ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), authority.pem())
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: BufStream<S>,
    seen: &Mutex<Vec<String>>,
) {
    loop {
        let head = head(&mut stream).await;
        let lower = head.to_lowercase();
        let length = lower
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length = length.map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        if head.is_empty() || stream.read_exact(&mut body).await.is_err() {
            return;
        }
        let answer = match head.starts_with("POST /v1/chat/completions ") {
            true => format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\n\r\n{REPLY}",
                REPLY.len()
            ),
            false => "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(),
        };
        seen.lock().unwrap().push(head);
        if stream.write_all(answer.as_bytes()).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

/// A request's head; empty at the end of the connection.
async fn head<S: AsyncRead + Unpin>(stream: &mut S) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return String::new(),
        }
    }
    String::from_utf8(head).unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_reached_by_proxy_and_authority_and_its_key_is_never_shown() {
    let inside = Inside::start().await;
    let folder = tempfile::tempdir().unwrap();
    let output = inside.ask(folder.path(), "ca_file = \"ca.pem\"\n").await;
    let said = said(&output);
    assert!(
        output.status.success() && said.contains("from inside"),
        "{said}"
    );
    assert!(!said.contains(KEY), "{said}");
    let heads = inside.heads.lock().unwrap();
    assert!(heads[0].starts_with("CONNECT "), "{heads:?}");
    assert!(!heads[0].contains(KEY), "the proxy got the key");
    let asked = heads.iter().find(|head| head.starts_with("POST ")).unwrap();
    assert!(asked.contains(&format!("Bearer {KEY}")), "{asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_nobody_named_is_not_trusted() {
    let inside = Inside::start().await;
    let folder = tempfile::tempdir().unwrap();
    let output = inside.ask(folder.path(), "").await;
    let said = said(&output);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("certificate"), "{said}");
    let heads = inside.heads.lock().unwrap();
    assert!(
        heads.iter().all(|head| head.starts_with("CONNECT ")),
        "{heads:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_an_authority_is_told() {
    let inside = Inside::start().await;
    let folder = tempfile::tempdir().unwrap();
    for (row, expected) in [
        ("ca_file = \"missing.pem\"\n", "missing.pem: No such file"),
        (
            "ca_file = \"plugins.toml\"\n",
            "plugins.toml: it holds no certificate in PEM form",
        ),
    ] {
        let output = inside.ask(folder.path(), row).await;
        let said = said(&output);
        assert!(
            !output.status.success() && said.contains(expected),
            "{said}"
        );
    }
    assert!(inside.heads.lock().unwrap().is_empty());
}
