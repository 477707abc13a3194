//! Requests and answers of HTTP/1, whole, one on each connection.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Where the API is, below the proxy's address.
pub(super) const API: &str = "/api/v3";

/// Where GraphQL is, beside it.
const GRAPHQL: &str = "/api/graphql";

/// Headers that belong to one connection, or are written anew.
const OF_A_CONNECTION: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "transfer-encoding",
];

/// A request as it came in.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// An answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Request {
    /// Reads one; nothing if the client has gone away.
    pub(super) async fn read(stream: &mut TcpStream) -> Option<Self> {
        let mut bytes = Vec::new();
        let head_end = loop {
            if let Some(end) = end_of_head(&bytes) {
                break end;
            }
            if stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        };
        let (first, headers) = head(&bytes[..head_end]);
        let mut words = first.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let length = length(&headers).unwrap_or(0);
        while bytes.len() < head_end + length {
            if stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        }
        Some(Self {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            headers,
            body: bytes[head_end..].to_vec(),
        })
    }

    /// Sends it to `host`, at its path there, and reads the answer.
    pub(super) async fn send(&self, host: &str) -> Answer {
        let path = self.api_route().unwrap_or(&self.path);
        let query = match self.query.as_str() {
            "" => String::new(),
            query => format!("?{query}"),
        };
        let length = self.body.len();
        // Of version 1.0, so that the answer is not chunked and ends with the connection.
        let mut sent = format!(
            "{} {path}{query} HTTP/1.0\r\nhost: {host}\r\ncontent-length: {length}\r\n",
            self.method
        );
        sent.push_str(&written(&self.headers));
        sent.push_str("\r\n");
        let mut stream = TcpStream::connect(host).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        stream.write_all(&self.body).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let head_end = end_of_head(&bytes).expect("an answer");
        let (first, headers) = head(&bytes[..head_end]);
        Answer {
            status: first.split(' ').nth(1).unwrap().parse().unwrap(),
            headers,
            body: bytes[head_end..].to_vec(),
        }
    }

    /// The path below the API, if it is one of the API.
    pub(super) fn api_route(&self) -> Option<&str> {
        match self.path.as_str() {
            GRAPHQL => Some("/graphql"),
            path => path.strip_prefix(API),
        }
    }

    /// A header's value, by its name in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Whether git asks for objects.
    pub(super) fn fetches(&self) -> bool {
        let command = b"command=fetch";
        self.path.ends_with("/git-upload-pack")
            && self.body.windows(command.len()).any(|part| part == command)
    }

    /// Whether the API is asked for a fork.
    pub(super) fn forks(&self) -> bool {
        self.method == "POST" && self.path.ends_with("/forks")
    }

    /// Whether git sends objects.
    pub(super) fn pushes(&self) -> bool {
        self.method == "POST" && self.path.ends_with("/git-receive-pack")
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl Answer {
    /// An answer of our own, in GitHub's words.
    pub(super) fn of_json(status: u16, body: &Value) -> Self {
        Self {
            status,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: body.to_string().into_bytes(),
        }
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub(super) async fn write(&self, stream: &mut TcpStream) {
        let mut head = format!("HTTP/1.1 {} Answer\r\n", self.status);
        head.push_str(&written(&self.headers));
        head.push_str(&format!(
            "connection: close\r\ncontent-length: {}\r\n\r\n",
            self.body.len()
        ));
        // A client that has gone away does not want it.
        let _ = stream.write_all(head.as_bytes()).await;
        let _ = stream.write_all(&self.body).await;
        let _ = stream.shutdown().await;
    }
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(4).position(|part| part == b"\r\n\r\n")?;
    Some(end + 4)
}

/// The first line and the headers, their names in lower case.
fn head(bytes: &[u8]) -> (String, Vec<(String, String)>) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default().to_owned();
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
    (first, headers.collect())
}

fn length(headers: &[(String, String)]) -> Option<usize> {
    let found = headers.iter().find(|(name, _)| name == "content-length");
    found?.1.parse().ok()
}

fn written(headers: &[(String, String)]) -> String {
    let kept = headers
        .iter()
        .filter(|(name, _)| !OF_A_CONNECTION.contains(&name.as_str()));
    kept.map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect()
}
