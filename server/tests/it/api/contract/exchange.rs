//! What was asked, and what was answered.

use std::collections::BTreeMap;

use reqwest::{RequestBuilder, Response};
use serde::Serialize;

use crate::api::server::send;
use crate::support::in_time;

/// An answer to an operation of the document.
#[derive(Debug, Serialize)]
pub(super) struct Exchange {
    /// In lower case.
    pub(super) method: String,
    /// As the document has it.
    pub(super) path: String,
    pub(super) status: u16,
    /// By their names in lower case.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
}

impl Exchange {
    pub(super) async fn of(method: &str, path: &str, request: RequestBuilder) -> Self {
        Self::read(method, path, send(request).await).await
    }

    async fn read(method: &str, path: &str, response: Response) -> Self {
        let status = response.status().as_u16();
        let headers = response.headers().iter();
        let headers = headers.map(|(name, value)| {
            let value = value.to_str().expect("text").to_owned();
            (name.as_str().to_owned(), value)
        });
        let headers = headers.collect();
        let body = in_time(response.text()).await.expect("a body");
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            status,
            headers,
            body,
        }
    }

    /// Which part of the document it belongs to.
    pub(super) fn key(&self) -> (String, String, u16) {
        (self.method.clone(), self.path.clone(), self.status)
    }
}
