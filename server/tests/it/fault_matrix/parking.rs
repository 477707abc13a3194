//! A run that a limit of the forge holds up: it is put aside, whoever takes it up goes on, and it ends as if
//! nothing had been.

use std::time::{SystemTime, UNIX_EPOCH};

use pullwright_protocol::{Event, LoggedEvent, Outcome};

use super::fault::{Fault, Moment, Times};
use super::ground::Ground;
use super::proxy::Plan;
use super::scene::Scene;
use super::server::Desk;
use super::stage::Stage;
use crate::peers::forge::git;
use crate::peers::process::Peers;
use crate::store::postgres;

const REPOSITORY: &str = "case-0";

/// How long a run may wait in all, in minutes: longer than any test.
const PATIENCE: f64 = 120.0;

/// Who goes on with the run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The server that had it before.
    Same,
    /// The next process with its data folder.
    Restarted,
    /// Another one, with the same database.
    Other,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_waits_before_any_money_is_spent_goes_on() {
    goes_on(Stage::Preflight, Next::Same, None).await;
    goes_on(Stage::Preflight, Next::Restarted, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_waits_for_an_app_s_token_goes_on() {
    goes_on(Stage::Token, Next::Restarted, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_whose_branch_is_pushed_is_proposed_once() {
    goes_on(Stage::PullLook, Next::Same, None).await;
    goes_on(Stage::PullCreate, Next::Restarted, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_proposed_waits_for_its_labels_and_people() {
    goes_on(Stage::Label, Next::Restarted, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_cancelled_while_it_waits_for_labels_has_its_pull_request() {
    let Some(peers) = Peers::find("cancelling a run that waits for labels") else {
        return;
    };
    let ground = Ground::start(&peers, &[REPOSITORY.to_owned()]).await;
    let plan = plan(Stage::Label, &Fault::MINUTES);
    let scene = Scene::set(&ground, REPOSITORY, Stage::Label, Some(plan), PATIENCE).await;
    let server = scene.desk.serve("data").await;
    let run = server
        .begin(&ground.url(&scene.proxy.host, REPOSITORY))
        .await;
    server.events(&run, is_parked).await;
    server.idle().await;
    server.cancel(&run).await;
    let events = server.events(&run, is_done).await;
    let Some(Event::Done {
        outcome,
        pr_url,
        summary,
        ..
    }) = last(&events)
    else {
        panic!("{events:#?}");
    };
    assert_eq!(*outcome, Outcome::PullRequest);
    assert!(
        pr_url.is_some() && summary.contains("may lack"),
        "{summary}"
    );
    assert_eq!(ground.pull_requests(REPOSITORY).await.len(), 1);
    server.kill().await;
    ground.stop().await;
}

/// Nobody would hear for an hour what is said to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_proposed_does_not_wait_long_for_its_labels() {
    let Some(peers) = Peers::find("a run that would wait long for labels") else {
        return;
    };
    let ground = Ground::start(&peers, &[REPOSITORY.to_owned()]).await;
    let plan = plan(Stage::Label, &Fault::HOUR);
    let scene = Scene::set(&ground, REPOSITORY, Stage::Label, Some(plan), PATIENCE).await;
    let server = scene.desk.serve("data").await;
    let run = server
        .begin(&ground.url(&scene.proxy.host, REPOSITORY))
        .await;
    let events = server.events(&run, is_done).await;
    let Some(Event::Done {
        outcome, summary, ..
    }) = last(&events)
    else {
        panic!("{events:#?}");
    };
    assert_eq!(*outcome, Outcome::PullRequest);
    assert!(summary.contains("at most 5 minutes"), "{summary}");
    assert!(!events.iter().any(is_parked), "{events:#?}");
    server.kill().await;
    ground.stop().await;
}

/// Each look at its labels finds the limit again, until somebody says something.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_waits_for_labels_ends_when_something_more_is_said() {
    let Some(peers) = Peers::find("a message to a run that waits for labels") else {
        return;
    };
    let ground = Ground::start(&peers, &[REPOSITORY.to_owned()]).await;
    let plan = Plan {
        times: Times::Always,
        ..plan(Stage::Label, &Fault::SOON)
    };
    let scene = Scene::set(&ground, REPOSITORY, Stage::Label, Some(plan), PATIENCE).await;
    let server = scene.desk.serve("data").await;
    let run = server
        .begin(&ground.url(&scene.proxy.host, REPOSITORY))
        .await;
    server.events(&run, is_parked).await;
    server.say(&run, "Greet loosely").await;
    let events = server.events(&run, is_done).await;
    let Some(Event::Done {
        outcome, summary, ..
    }) = last(&events)
    else {
        panic!("{events:#?}");
    };
    assert_eq!(*outcome, Outcome::PullRequest);
    assert!(summary.contains("something more was said"), "{summary}");
    server.kill().await;
    ground.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_goes_on_at_another_server_on_postgres() {
    let Some(server) = postgres::server("runs that wait for their forge") else {
        return;
    };
    for stage in [Stage::Preflight, Stage::PullCreate] {
        goes_on(stage, Next::Other, Some(server.database().await)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_cancelled_meanwhile_ends_at_once_with_its_work() {
    let Some(peers) = Peers::find("cancelling a run that waits") else {
        return;
    };
    let databases = match postgres::server("cancelling a run that waits on Postgres") {
        Some(server) => vec![None, Some(server.database().await)],
        None => vec![None],
    };
    for database in databases {
        let ground = Ground::start(&peers, &[REPOSITORY.to_owned()]).await;
        let plan = plan(Stage::PullCreate, &Fault::HOUR);
        let scene = Scene::set(&ground, REPOSITORY, plan.stage, Some(plan), PATIENCE).await;
        let desk = on(scene.desk, database);
        let server = desk.serve("data").await;
        let run = server
            .begin(&ground.url(&scene.proxy.host, REPOSITORY))
            .await;
        server.events(&run, is_parked).await;
        server.idle().await;
        server.cancel(&run).await;
        // An hour would be too long for this.
        let events = server.events(&run, is_done).await;
        let Some(Event::Done {
            outcome,
            branch,
            has_patch,
            ..
        }) = last(&events)
        else {
            panic!("{events:#?}");
        };
        assert_eq!(*outcome, Outcome::Cancelled);
        assert!(branch.is_some() && *has_patch);
        assert!(server.patch(&run).await.is_some());
        assert_eq!(ground.pull_requests(REPOSITORY).await.len(), 0);
        server.kill().await;
        ground.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_waits() {
    let Some(peers) = Peers::find("a run of the command line that waits") else {
        return;
    };
    let ground = Ground::start(&peers, &[REPOSITORY.to_owned()]).await;
    let plan = plan(Stage::PullCreate, &Fault::SOON);
    let scene = Scene::set(&ground, REPOSITORY, plan.stage, Some(plan), PATIENCE).await;
    let repository = ground.url(&scene.proxy.host, REPOSITORY);
    let said = scene
        .desk
        .run("data", &["code", &repository, "Greet shortly", "--json"])
        .await;
    assert!(said.contains("the run waits"), "{said}");
    assert!(said.contains("\"outcome\":\"pull request\""), "{said}");
    assert_eq!(ground.pull_requests(REPOSITORY).await.len(), 1);
    ground.stop().await;
}

/// A run that is put aside at a stage, and goes on as said.
async fn goes_on(stage: Stage, next: Next, database: Option<String>) {
    let Some(peers) = Peers::find("a run that waits for its forge") else {
        return;
    };
    let ground = Ground::start(&peers, &[REPOSITORY.to_owned()]).await;
    let plan = plan(stage, &Fault::SOON);
    let scene = Scene::set(&ground, REPOSITORY, stage, Some(plan), PATIENCE).await;
    let (behind, desk) = (scene.behind, on(scene.desk, database));
    let first = desk.serve("data").await;
    let run = first
        .begin(&ground.url(&scene.proxy.host, REPOSITORY))
        .await;
    let parked = first.events(&run, is_parked).await;
    first.idle().await;
    let spends = |logged: &LoggedEvent| matches!(logged.event, Event::ConversationStarted { .. });
    let was_at_work = parked.iter().any(spends);
    let at_work = [Stage::PullLook, Stage::PullCreate, Stage::Label];
    assert_eq!(was_at_work, at_work.contains(&stage));
    let Some(Event::Parked { until_ms, .. }) = last(&parked) else {
        unreachable!()
    };
    let record = first.record(&run).await;
    assert!(
        record["parkedUntilMs"].is_u64() || is_over(*until_ms),
        "{record}"
    );
    let metrics = first.text("/metrics").await;
    assert!(
        metrics.contains("pullwright_runs_parked_total 1"),
        "{metrics}"
    );
    let data = match next {
        Next::Other => "other",
        Next::Same | Next::Restarted => "data",
    };
    let mut was_aside = true;
    let server = match next {
        Next::Same => first,
        Next::Restarted | Next::Other => {
            first.kill().await;
            was_aside = !is_over(*until_ms);
            desk.serve(data).await
        }
    };
    let events = server.events(&run, is_done).await;
    let Some(Event::Done { outcome, .. }) = last(&events) else {
        panic!("{events:#?}");
    };
    assert_eq!(*outcome, Outcome::PullRequest, "{events:#?}");
    let resumed = |logged: &&LoggedEvent| matches!(logged.event, Event::Resumed { .. });
    let resumed = events.iter().filter(resumed).count();
    // A slow machine may have killed the first server when it had gone on with the run.
    assert!(resumed == 1 || (resumed == 2 && !was_aside), "{events:#?}");
    let at = |wanted: fn(&LoggedEvent) -> bool| events.iter().find(|event| wanted(event)).unwrap();
    let gone_on = at(|logged| matches!(logged.event, Event::Resumed { .. })).at_ms;
    assert!(
        gone_on + 100 >= *until_ms,
        "it went on too early: {events:#?}"
    );
    let record = server.record(&run).await;
    assert!(record["parkedUntilMs"].is_null(), "{record}");
    let pulls = ground.pull_requests(REPOSITORY).await;
    assert_eq!(pulls.len(), 1);
    let labels = pulls[0]["labels"].as_array().unwrap();
    assert_eq!(labels.len(), usize::from(stage.has_details()), "{pulls:#?}");
    let branches = git(
        &behind.bare,
        &["for-each-ref", "--format=%(refname)", "refs/heads"],
    )
    .await;
    assert_eq!(branches.lines().count(), 2, "{branches}");
    server.kill().await;
    let mut arguments = vec!["replay", &run, "--tools", "recorded"];
    if desk.has_database() {
        arguments.push("--database");
    }
    let said = desk.run(data, &arguments).await;
    assert!(said.starts_with("identical: "), "{said}");
    ground.stop().await;
}

fn plan(stage: Stage, fault: &'static Fault) -> Plan {
    Plan {
        stage,
        fault,
        moment: Moment::Before,
        times: Times::Once,
    }
}

fn on(desk: Desk, database: Option<String>) -> Desk {
    match database {
        Some(database) => desk.on(database),
        None => desk,
    }
}

/// Whether a time that a run waits for is over: on a slow machine nobody may have come to see it aside.
fn is_over(until_ms: u64) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap() >= until_ms
}

fn is_parked(logged: &LoggedEvent) -> bool {
    matches!(logged.event, Event::Parked { .. })
}

fn is_done(logged: &LoggedEvent) -> bool {
    matches!(logged.event, Event::Done { .. })
}

fn last(events: &[LoggedEvent]) -> Option<&Event> {
    events.last().map(|logged| &logged.event)
}
