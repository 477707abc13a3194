//! Just enough HTTP to ask a loopback peer for JSON.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A peer on the same machine that takes longer is stuck.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// One request. The status and the JSON of the answer (a string where it is not JSON).
pub(crate) async fn request(
    method: &str,
    url: &str,
    token: &str,
    body: Option<&Value>,
) -> (u16, Value) {
    let asked = exchange(method, url, token, body);
    let answer = tokio::time::timeout(ANSWER_LIMIT, asked).await;
    let answer = answer.unwrap_or_else(|_| panic!("{method} {url}: no answer in {ANSWER_LIMIT:?}"));
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let value = serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned()));
    (status, value)
}

/// HTTP/1.0, so that the answer is not chunked and ends with the connection.
async fn exchange(method: &str, url: &str, token: &str, body: Option<&Value>) -> Vec<u8> {
    let (host, path) = url
        .strip_prefix("http://")
        .unwrap()
        .split_once('/')
        .unwrap();
    let body = body.map(Value::to_string).unwrap_or_default();
    let request = format!(
        "{method} /{path} HTTP/1.0\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\
         x-api-key: {token}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(host).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}
