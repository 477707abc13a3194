//! JSON-RPC 2.0 messages, read without copying what they carry.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::rpc::RpcError;

/// A request on its way out.
#[derive(Serialize)]
struct Request<'a> {
    jsonrpc: &'static str,
    id: u64,
    method: &'a str,
    params: &'a RawValue,
}

/// What surrounds method and parameters, and then some.
const ENVELOPE_BYTES: usize = 128;

/// Writes a request as one line, without the line break.
pub(crate) fn request_line(id: u64, method: &str, params: &RawValue) -> Result<String, RpcError> {
    let request = Request {
        jsonrpc: "2.0",
        id,
        method,
        params,
    };
    // Parameters may hold a whole conversation: one allocation, instead of one for each doubling.
    let mut line = Vec::with_capacity(params.get().len() + method.len() + ENVELOPE_BYTES);
    serde_json::to_writer(&mut line, &request)
        .map_err(|error| RpcError::Encode(error.to_string()))?;
    let line = String::from_utf8(line).map_err(|error| RpcError::Encode(error.to_string()))?;
    Ok(on_one_line(line))
}

/// Raw JSON may be spread over lines. In valid JSON a line break is white space, never text.
fn on_one_line(line: String) -> String {
    if line.contains('\n') || line.contains('\r') {
        line.replace(['\n', '\r'], " ")
    } else {
        line
    }
}

/// Any message from a peer. A response has an id and no method, a notification a method.
#[derive(Deserialize)]
pub(crate) struct Incoming<'a> {
    #[serde(default)]
    pub(crate) id: Option<u64>,
    #[serde(default, borrow)]
    pub(crate) method: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    pub(crate) params: Option<NotificationParams<'a>>,
    #[serde(default, borrow)]
    pub(crate) result: Option<&'a RawValue>,
    #[serde(default, borrow)]
    pub(crate) error: Option<ErrorObject<'a>>,
}

/// The parameters of a subscription's notification.
#[derive(Deserialize)]
pub(crate) struct NotificationParams<'a> {
    /// The id, as JSON text: a number or a string.
    #[serde(default, borrow)]
    pub(crate) subscription: Option<&'a RawValue>,
    #[serde(default, borrow)]
    pub(crate) result: Option<&'a RawValue>,
    #[serde(default, borrow)]
    pub(crate) error: Option<&'a RawValue>,
}

/// A JSON-RPC error.
#[derive(Deserialize)]
pub(crate) struct ErrorObject<'a> {
    #[serde(default)]
    pub(crate) code: i64,
    #[serde(default, borrow)]
    pub(crate) message: Cow<'a, str>,
    #[serde(default, borrow)]
    pub(crate) data: Option<&'a RawValue>,
}

impl ErrorObject<'_> {
    /// The error of `peer` when asked for `method`.
    pub(crate) fn into_error(self, peer: &str, method: &str) -> RpcError {
        RpcError::Refused {
            peer: peer.to_owned(),
            method: method.to_owned(),
            code: self.code,
            message: match self.data {
                Some(data) => format!("{}: {data}", self.message),
                None => self.message.into_owned(),
            },
        }
    }
}

impl NotificationParams<'_> {
    /// What the notification carries, as the subscriber sees it.
    pub(crate) fn payload(&self, peer: &str, method: &str) -> Result<Box<RawValue>, RpcError> {
        match (self.result, self.error) {
            (_, Some(error)) => Err(RpcError::Refused {
                peer: peer.to_owned(),
                method: method.to_owned(),
                code: 0,
                message: error.get().to_owned(),
            }),
            (result, None) => Ok(result.unwrap_or(RawValue::NULL).to_owned()),
        }
    }
}

impl Incoming<'_> {
    /// The result or error of a response.
    pub(crate) fn into_answer(self, peer: &str, method: &str) -> Result<Box<RawValue>, RpcError> {
        match self.error {
            Some(error) => Err(error.into_error(peer, method)),
            None => Ok(self.result.unwrap_or(RawValue::NULL).to_owned()),
        }
    }
}
