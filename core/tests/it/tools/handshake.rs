//! Both eras of the protocol, and servers that do not say which is theirs.

use std::time::{Duration, Instant};

use super::fake::{Era, Fake, Plan, Reaction, text};
use super::{answered, call, connect, connect_with, options};

fn plan(era: Era) -> Plan {
    Plan {
        era,
        react: |number, call| match number {
            1 => Reaction::Die,
            _ => Reaction::Say(vec![text(call, "done")]),
        },
        ..Plan::default()
    }
}

/// The methods heard until the list is asked for.
fn beginning(methods: &[String]) -> Vec<&str> {
    let until = methods.iter().position(|method| method == "tools/list");
    methods[..until.unwrap()]
        .iter()
        .map(String::as_str)
        .collect()
}

#[tokio::test]
async fn each_era_is_found_out_and_remembered() {
    let legacy = ["initialize", "notifications/initialized"];
    for (era, first, again) in [
        (
            Era::Modern,
            vec!["server/discover"],
            vec!["server/discover"],
        ),
        (
            Era::Legacy,
            vec!["server/discover", legacy[0], legacy[1]],
            legacy.to_vec(),
        ),
    ] {
        let fake = Fake::new(plan(era));
        let server = connect(&fake).await;
        assert_eq!(beginning(&fake.methods()), first);
        assert_eq!(answered(&server, "go").await, "done");
        let before = fake.methods().len();
        call(&server, "go").await.unwrap_err();
        let after = fake.methods().split_off(before);
        let after: Vec<String> = after
            .into_iter()
            .filter(|m| m != "tools/call" && m != "subscriptions/listen")
            .collect();
        assert_eq!(beginning(&after), again);
        assert_eq!(answered(&server, "go").await, "done");
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_the_probe_costs_two_seconds() {
    let fake = Fake::new(plan(Era::Silent));
    let started = Instant::now();
    let server = connect(&fake).await;
    let took = started.elapsed();
    assert!(took > Duration::from_millis(1900), "{took:?}");
    assert!(took < Duration::from_secs(6), "{took:?}");
    assert_eq!(fake.opens(), 1, "the same connection goes on");
    assert_eq!(answered(&server, "go").await, "done");
}

#[tokio::test]
async fn a_server_of_the_newer_era_may_be_slow_to_start() {
    let fake = Fake::new(plan(Era::Late));
    let server = connect(&fake).await;
    assert_eq!(
        fake.opens(),
        2,
        "it refuses the handshake, and has its time then"
    );
    assert_eq!(answered(&server, "go").await, "done");
}

#[tokio::test]
async fn a_server_that_ends_over_the_probe_is_started_again_without() {
    let fake = Fake::new(plan(Era::Touchy));
    let server = connect(&fake).await;
    assert_eq!(fake.opens(), 2);
    assert_eq!(answered(&server, "go").await, "done");
    call(&server, "go").await.unwrap_err();
    assert_eq!(fake.opens(), 3, "it is not asked the same again");
}

#[tokio::test]
async fn any_answer_to_the_probe_but_the_right_one_leads_to_the_handshake() {
    for era in [Era::Vague, Era::Forgetful] {
        let fake = Fake::new(plan(era));
        let server = connect(&fake).await;
        assert_eq!(fake.opens(), 1, "the same connection goes on");
        assert_eq!(answered(&server, "go").await, "done");
    }
}

#[tokio::test]
async fn one_deadline_holds_for_the_whole_start() {
    let fake = Fake::new(plan(Era::Silent));
    let mut options = options();
    options.startup_timeout = Duration::from_millis(300);
    let approval = std::sync::Arc::new(pullwright_core::tools::ApproveAll);
    let started = Instant::now();
    let error = connect_with(&fake, options, approval).await.err().unwrap();
    assert!(error.to_string().contains("startup_timeout_sec"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_builtin_server_is_not_asked() {
    let fake = Fake::new(plan(Era::Silent));
    let mut options = options();
    options.builtin = true;
    let approval = std::sync::Arc::new(pullwright_core::tools::ApproveAll);
    let server = connect_with(&fake, options, approval).await.unwrap();
    assert_eq!(fake.methods()[0], "initialize");
    assert_eq!(answered(&server, "go").await, "done");
}
