//! Every way in which GitHub's API or git at GitHub can fail, at every stage of a run: finished work is neither
//! lost nor doubled.
//!
//! Each case is a whole run on a server process of its own, with real tools, behind a proxy that lets the requests
//! of one stage fail in one way. What came of it is a line of a table in `fault_matrix/table/`; run with
//! `UPDATE_FIXTURES=1` to write the tables anew, and with `--nocapture` to see them.

mod case;
mod fault;
mod github;
mod graphql;
mod ground;
mod http;
mod openapi;
mod parking;
mod proxy;
mod scene;
mod server;
mod stage;
mod table;

use futures_util::{StreamExt, stream};

use crate::peers::process::Peers;
use case::{Case, Played};
use ground::Ground;
use stage::Stage;

/// How many cases are under way at the same time.
const SIDE_BY_SIDE: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_at_the_repository() {
    holds(Stage::Preflight).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_at_the_rules() {
    holds(Stage::Rules).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finding_the_installation() {
    holds(Stage::Installation).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asking_for_a_token() {
    holds(Stage::Token).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asking_git_what_there_is() {
    holds(Stage::CloneAsk).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fetching() {
    holds(Stage::Fetch).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_for_the_branch() {
    holds(Stage::PushLook).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asking_to_push() {
    holds(Stage::PushAsk).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushing() {
    holds(Stage::Push).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn having_the_commit_made() {
    holds(Stage::Commit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn having_the_commit_made_or_pushing_it() {
    holds(Stage::CommitOrPush).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_for_the_pull_request() {
    holds(Stage::PullLook).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn creating_the_pull_request() {
    holds(Stage::PullCreate).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn updating_the_pull_request() {
    holds(Stage::PullUpdate).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asking_for_another_token_before_the_push() {
    holds(Stage::TokenToPush).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asking_for_another_token_after_the_push() {
    holds(Stage::TokenToPropose).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_for_a_fork() {
    holds(Stage::ForkLook).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forking() {
    holds(Stage::ForkMake).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_a_fork() {
    holds(Stage::ForkWait).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushing_to_a_fork() {
    holds(Stage::ForkPush).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proposing_from_a_fork() {
    holds(Stage::ForkPropose).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_for_a_label() {
    holds(Stage::LabelLook).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn labelling() {
    holds(Stage::Label).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asking_people() {
    holds(Stage::People).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_whether_the_pull_request_of_a_follow_up_is_open() {
    holds(Stage::FollowLook).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn going_on_with_work_under_way_without_git() {
    holds(Stage::ResumeWork).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn going_on_with_a_push_without_git() {
    holds(Stage::ResumePush).await;
}

/// Plays all cases of a stage.
async fn holds(stage: Stage) {
    let Some(peers) = Peers::find("the fault matrix") else {
        return;
    };
    let cases = Case::of(stage);
    let names: Vec<String> = cases.iter().map(Case::repository).collect();
    let ground = Ground::start(&peers, &names).await;
    let played = stream::iter(&cases).map(|case| case.play(&ground));
    let mut played: Vec<Played> = played.buffer_unordered(SIDE_BY_SIDE).collect().await;
    played.sort_by_key(|played| played.number);
    let table = table::of(stage, &played);
    eprintln!("{table}");
    let broken: Vec<String> = played.iter().flat_map(Played::broken_promises).collect();
    assert!(broken.is_empty(), "{table}\n{}", broken.join("\n"));
    table::compare(stage, &table);
    ground.stop().await;
}
