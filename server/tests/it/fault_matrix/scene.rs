//! What a case needs to be played: its repository, the proxy, and what is configured and asked for.

use serde_json::{Value, json};

use super::ground::Ground;
use super::proxy::{Behind, Plan, Proxy};
use super::server::{Desk, LABEL};
use super::stage::Stage;

/// The branch of runs that find a pull request open.
const BRANCH: &str = "work";

/// Where a run of a stage is played.
pub(super) struct Scene {
    pub(super) behind: Behind,
    pub(super) proxy: Proxy,
    pub(super) desk: Desk,
    /// The body of `POST /code`.
    pub(super) asked: Value,
}

impl Scene {
    /// For a stage, at which something may fail. The run may wait for so long in all.
    pub(super) async fn set(
        ground: &Ground,
        repository: &str,
        stage: Stage,
        plan: Option<Plan>,
        max_parked_minutes: f64,
    ) -> Self {
        let behind = ground.behind(repository).await;
        if stage.has_pull_request() {
            ground.propose(repository, BRANCH).await;
        }
        let proxy = Proxy::start(behind.clone(), stage, plan).await;
        let mut desk = Desk::new(&proxy.host, stage.is_of_an_app(), max_parked_minutes);
        let mut asked = json!({
            "repoUrl": ground.url(&proxy.host, repository),
            "prompt": "Greet shortly",
        });
        if stage.has_pull_request() {
            asked["branch"] = json!(BRANCH);
        }
        if stage.is_of_a_fork() {
            ground.prepare_fork(&behind).await;
            desk = desk.with_a_forker_s_token();
            asked["publish"] = json!("fork");
        }
        if stage.has_details() {
            ground.label(repository, LABEL).await;
            desk = desk.with_details();
        }
        if let Some(verified) = stage.verified() {
            desk = desk.with_verified_commits(verified);
        }
        Self {
            behind,
            proxy,
            desk,
            asked,
        }
    }
}
