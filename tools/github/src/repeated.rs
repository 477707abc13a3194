//! Requests whose second time changes nothing, although they are POSTs.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::Fault;
use crate::github::Github;
use crate::repository::Repo;

impl Github {
    /// Posts what GitHub answers alike the second time, again after a passing failure.
    pub(crate) async fn post_repeatedly<T: DeserializeOwned>(
        &self,
        repo: &Repo,
        route: &str,
        body: &impl Serialize,
    ) -> Result<T, Fault> {
        let mut attempt = 1;
        loop {
            match self.api.post_once(repo, route, body).await {
                Ok(answer) => return Ok(answer),
                Err(fault) => self.api.pause(&fault, attempt).await.ok_or(fault)?,
            }
            attempt += 1;
        }
    }
}
