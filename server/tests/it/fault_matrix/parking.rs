//! A run that a limit of the forge holds up: it is put aside, whoever takes it up goes on, and it ends as if
//! nothing had been.

use std::time::{Duration, Instant};

use pullwright_protocol::{Event, LoggedEvent, Outcome};

use super::fault::{Fault, Moment, Times};
use super::ground::Ground;
use super::proxy::{Plan, Proxy};
use super::server::Desk;
use super::stage::Stage;
use crate::peers::forge::git;
use crate::peers::process::Peers;
use crate::store::postgres;

const REPOSITORY: &str = "case-0";

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
        let proxy = Proxy::start(ground.behind(REPOSITORY).await, Some(plan)).await;
        let desk = desk(&proxy, database, false);
        let server = desk.serve("data").await;
        let run = server.begin(&ground.url(&proxy.host, REPOSITORY)).await;
        server.events(&run, is_parked).await;
        server.idle().await;
        let begun = Instant::now();
        server.cancel(&run).await;
        let events = server.events(&run, is_done).await;
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "it was waited for"
        );
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
    let proxy = Proxy::start(ground.behind(REPOSITORY).await, Some(plan)).await;
    let desk = desk(&proxy, None, false);
    let repository = ground.url(&proxy.host, REPOSITORY);
    let said = desk
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
    let behind = ground.behind(REPOSITORY).await;
    let proxy = Proxy::start(behind.clone(), Some(plan(stage, &Fault::SOON))).await;
    let desk = desk(&proxy, database, stage.is_of_an_app());
    let first = desk.serve("data").await;
    let run = first.begin(&ground.url(&proxy.host, REPOSITORY)).await;
    let parked = first.events(&run, is_parked).await;
    first.idle().await;
    let spends = |logged: &LoggedEvent| matches!(logged.event, Event::ConversationStarted { .. });
    let was_at_work = parked.iter().any(spends);
    assert_eq!(
        was_at_work,
        stage == Stage::PullLook || stage == Stage::PullCreate
    );
    let record = first.record(&run).await;
    assert!(record["parkedUntilMs"].is_u64(), "{record}");
    let metrics = first.text("/metrics").await;
    assert!(
        metrics.contains("pullwright_runs_parked_total 1"),
        "{metrics}"
    );
    let (server, data) = match next {
        Next::Same => (first, "data"),
        Next::Restarted => {
            first.kill().await;
            (desk.serve("data").await, "data")
        }
        Next::Other => {
            first.kill().await;
            (desk.serve("other").await, "other")
        }
    };
    let events = server.events(&run, is_done).await;
    let Some(Event::Done { outcome, .. }) = last(&events) else {
        panic!("{events:#?}");
    };
    assert_eq!(*outcome, Outcome::PullRequest, "{events:#?}");
    let resumed = |logged: &&LoggedEvent| matches!(logged.event, Event::Resumed { .. });
    assert_eq!(events.iter().filter(resumed).count(), 1, "{events:#?}");
    let at = |wanted: fn(&LoggedEvent) -> bool| events.iter().find(|event| wanted(event)).unwrap();
    let Event::Parked { until_ms, .. } = at(is_parked).event else {
        unreachable!()
    };
    let gone_on = at(|logged| matches!(logged.event, Event::Resumed { .. })).at_ms;
    assert!(
        gone_on + 100 >= until_ms,
        "it went on too early: {events:#?}"
    );
    let record = server.record(&run).await;
    assert!(record["parkedUntilMs"].is_null(), "{record}");
    assert_eq!(ground.pull_requests(REPOSITORY).await.len(), 1);
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

fn desk(proxy: &Proxy, database: Option<String>, as_app: bool) -> Desk {
    let desk = Desk::new(&proxy.host, as_app, 120.0);
    match database {
        Some(database) => desk.on(database),
        None => desk,
    }
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
