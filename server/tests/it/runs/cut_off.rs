//! Runs whose log ends somewhere, as if their server had died there, elsewhere: who goes on has the log, and
//! what else is given to him.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pullwright::compose::{self, Executor, Setting};
use pullwright::runs::{Runs, RunsConfig};
use pullwright_core::config::Config;
use pullwright_core::store::{NewMessage, NewRun};
use pullwright_protocol::{Event, LoggedEvent, Outcome, RunId};

use super::lab::{GREET, Lab, PROGRAM, Plan, in_time};

/// What the next owner finds.
struct Left {
    /// Its folder.
    data: &'static str,
    /// The log, to its last event.
    events: Vec<LoggedEvent>,
    patch: Option<Vec<u8>>,
    /// What somebody has said meanwhile.
    said: Option<&'static str>,
    /// Whether somebody has asked for its end meanwhile.
    is_cancelled: bool,
}

/// What the log holds once the run has ended, from where it was cut off.
async fn go_on(lab: &Lab, run: &RunId, left: Left) -> Vec<Event> {
    let runs = open(lab, left.data).await;
    let store = Arc::clone(runs.store());
    let Some(Event::RunCreated { request }) = left.events.first().map(|logged| &logged.event)
    else {
        panic!("no log of a run");
    };
    let new = NewRun {
        id: run.clone(),
        request: request.clone(),
        owner: None,
        idempotency_key: None,
        at_ms: 1,
        sealed_token: None,
    };
    store.create(new).await.expect("create");
    let epoch = store.claim(run, "dead", Duration::ZERO).await;
    let epoch = epoch.expect("claim");
    let last = left.events.len() as u64;
    let append = store.append(run, epoch, left.events);
    append.await.expect("append");
    if let Some(patch) = left.patch {
        store.put_patch(run, epoch, &patch).await.expect("put");
    }
    if let Some(text) = left.said {
        let message = NewMessage {
            id: "a".to_owned(),
            run: run.clone(),
            text: text.to_owned(),
            at_ms: 1,
        };
        store.post(message).await.expect("post");
    }
    if left.is_cancelled {
        assert!(store.cancel(run).await.expect("cancel"));
    }
    assert_eq!(runs.recover().await.expect("recover"), 1);
    let mut departing = runs.departing(run).expect("it goes on");
    in_time(departing.departed()).await;
    let events = store.read(run, last, 10_000).await.expect("read");
    events.into_iter().map(|logged| logged.event).collect()
}

async fn open(lab: &Lab, data: &str) -> Runs {
    let config = Config::load(&lab.path.join("plugins.toml")).expect("a good configuration");
    let data_dir = lab.path.join(data);
    std::fs::create_dir(&data_dir).expect("make a folder");
    std::fs::set_permissions(&data_dir, Permissions::from_mode(0o711)).expect("set the mode");
    let sandbox = compose::sandbox_config(&config);
    let sandboxes = pullwright_sandbox::open_host(&sandbox, &data_dir, Path::new(PROGRAM));
    let setting = Setting {
        data_dir,
        config_file: Some(lab.path.join("plugins.toml")),
        ..Setting::default()
    };
    let parts = compose::parts(config, sandboxes.expect("a sandbox"), &setting).await;
    let executor = Executor::new(parts.expect("the parts"));
    let store = Arc::clone(&executor.parts().store);
    Runs::new(
        store,
        Arc::clone(&executor) as _,
        executor,
        RunsConfig::default(),
    )
}

/// The log up to the last event that is `wanted`.
fn up_to(events: &[LoggedEvent], wanted: impl Fn(&Event) -> bool) -> Vec<LoggedEvent> {
    let last = events.iter().rposition(|logged| wanted(&logged.event));
    events[..=last.expect("such an event")].to_vec()
}

fn outcome(events: &[Event]) -> Outcome {
    match events.last() {
        Some(Event::Done { outcome, .. }) => *outcome,
        other => panic!("the end is not last: {other:?}"),
    }
}

/// There are no checks, during which it would be heard otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_to_a_run_without_an_owner_is_heard_before_it_is_published() {
    let script = format!(
        "{GREET}{}",
        r#"
[[replies]]
expect = { user_contains = ["even shorter"] }
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hi", new_str = "h" } } }]
[[replies]]
expect = { results_are_errors = false }
steps = [{ text = "Greet with a letter" }]
"#
    );
    let lab = Lab::start(Plan {
        script: &script,
        config: "[setup]\nrun = [\"touch left-behind\"]\n",
        ..Plan::default()
    })
    .await;
    let played = lab.run().await;
    played.ended("branch only");
    let patch = lab.store.patch(&played.id).await.expect("read");
    let branch = lab.branches().remove(0);
    lab.git(&["branch", "-D", &branch]);
    let events = lab.events(&played.id).await;
    let left = Left {
        data: "other",
        events: up_to(&events, |event| matches!(event, Event::PatchStored { .. })),
        patch,
        said: Some("even shorter"),
        is_cancelled: false,
    };
    let events = go_on(&lab, &played.id, left).await;
    assert_eq!(outcome(&events), Outcome::BranchOnly, "{events:#?}");
    let heard = events
        .iter()
        .filter(|event| matches!(event, Event::MessageHeard { .. }));
    assert_eq!(heard.count(), 1);
    assert_eq!(lab.pushed_file("src/greeting.txt"), "h\n");
    assert_eq!(lab.pushed_paths(), "M\tsrc/greeting.txt\n");
}

/// What is on the branch stays what is proposed, whether its work can be made anew or not.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_is_what_is_proposed() {
    let lab = Lab::start(Plan {
        script: GREET,
        config: "[checks]\nrun = [\"grep -q h src/greeting.txt\"]\n",
        ..Plan::default()
    })
    .await;
    let played = lab.run().await;
    played.ended("branch only");
    let branch = lab.branches().remove(0);
    let commit = lab.git(&["rev-parse", &branch]);
    let events = lab.events(&played.id).await;
    let pushed = up_to(&events, |event| matches!(event, Event::BranchPushed { .. }));
    for (data, patch, is_cancelled) in [
        ("gone", None, false),
        ("unfit", Some(b"no patch".to_vec()), false),
        ("late", None, true),
    ] {
        let left = Left {
            data,
            events: pushed.clone(),
            patch,
            said: Some("and now?"),
            is_cancelled,
        };
        let events = go_on(&lab, &played.id, left).await;
        assert_eq!(outcome(&events), Outcome::BranchOnly, "{events:#?}");
        let does_more = |event: &Event| {
            matches!(
                event,
                Event::ModelReplied { .. }
                    | Event::Checked { .. }
                    | Event::BranchPushed { .. }
                    | Event::SandboxOpened { .. }
                    | Event::MessageHeard { .. }
            )
        };
        assert!(!events.iter().any(does_more), "{events:#?}");
        assert_eq!(lab.git(&["rev-parse", &branch]), commit);
        let Some(Event::Done { branch: told, .. }) = events.last() else {
            panic!("{events:#?}");
        };
        assert_eq!(told.as_deref(), Some(&*branch));
    }
}

/// The change that is kept is gone once the model has taken it back.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_taken_back_leaves_no_patch() {
    let lab = Lab::start(Plan {
        config: "[checks]\nrun = [\"grep -q hello src/greeting.txt\"]\n",
        script: r#"
[[replies]]
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } }]
[[replies]]
steps = [{ text = "Greet shortly" }]
[[replies]]
expect = { user_contains = ["grep -q hello"] }
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hi", new_str = "hello" } } }]
[[replies]]
steps = [{ text = "It must stay as it was" }]
"#,
        ..Plan::default()
    })
    .await;
    let played = lab.run().await;
    played.ended("no changes");
    assert_eq!(played.done()["patchUrl"], serde_json::Value::Null);
    assert_eq!(lab.patch(&played.id).await, None);
    let events = lab.events(&played.id).await;
    let removed = |logged: &&LoggedEvent| matches!(logged.event, Event::PatchRemoved);
    assert_eq!(events.iter().filter(removed).count(), 1);
}
