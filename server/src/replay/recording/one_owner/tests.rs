use pullwright_protocol::provider::{ModelLimits, StopReason, TokenUsage};
use pullwright_protocol::{
    Beginning, CheckReport, Content, FailureKind, Part, Provenance, ResetReason, RunRequest,
    ToolView,
};
use serde_json::json;

use super::*;

fn created() -> Event {
    let request = json!({ "repoUrl": "https://example.org/a/b", "prompt": "Greet" });
    let request: RunRequest = serde_json::from_value(request).unwrap();
    Event::RunCreated { request }
}

fn started() -> Event {
    let one = |text: &str| text.to_owned();
    Event::ConversationStarted {
        provenance: Provenance {
            provider: one("p"),
            wire: one("w"),
            model: one("m"),
            account: None,
        },
        limits: ModelLimits::default(),
        system: String::new(),
        tools: Vec::new(),
        beginning: Beginning::default(),
    }
}

fn commands() -> Event {
    Event::CommandsChosen {
        setup: Vec::new(),
        checks: Vec::new(),
    }
}

fn said(text: &str) -> Event {
    let item = Item::user(text);
    Event::ItemAppended { item }
}

fn heard(text: &str) -> Event {
    let text = text.to_owned();
    Event::MessageHeard { number: 0, text }
}

fn replied() -> Event {
    Event::ModelReplied {
        stop: StopReason::EndTurn,
        usage: TokenUsage::default(),
        usd: None,
        duration_ms: 1,
    }
}

fn words() -> Event {
    let text = "words".to_owned();
    let item = Item::neutral(Content::Text { text });
    Event::ItemAppended { item }
}

fn piece() -> Event {
    let delta = "wor".to_owned();
    Event::MessageDelta { delta }
}

fn overloaded() -> Event {
    Event::Error {
        kind: FailureKind::Overloaded,
        message: "no capacity".to_owned(),
        retrying: true,
        attempt: 1,
    }
}

fn runs() -> Event {
    Event::ToolStarted {
        call_id: "c".to_owned(),
        server: "bash".to_owned(),
        tool: "bash".to_owned(),
    }
}

fn answered(text: &str) -> Event {
    Event::ToolAnswered {
        call_id: "c".to_owned(),
        server: "bash".to_owned(),
        tool: "bash".to_owned(),
        arguments: json!({}),
        parts: vec![Part::text(text)],
        is_error: false,
        structured: None,
        view: ToolView::default(),
        duration_ms: 1,
    }
}

fn taken_in(tree: &str) -> Event {
    Event::PatchStored {
        bytes: 1,
        files: 1,
        tree: tree.to_owned(),
        during_work: false,
    }
}

fn checked(command: &str) -> Event {
    Event::Checked {
        report: CheckReport {
            command: command.to_owned(),
            exit_code: Some(0),
            duration_ms: 1,
            tree: "t".to_owned(),
            phase: CheckPhase::After,
            output_tail: String::new(),
        },
    }
}

fn reset() -> Event {
    Event::ConversationReset {
        reason: ResetReason::TooLong,
        items: Vec::new(),
        tokens_before: 2,
        tokens_after: 1,
    }
}

/// A log that begins with a conversation, and then has these events.
fn log(events: &[Event]) -> Vec<Event> {
    let begun = [created(), commands(), started(), said("task")];
    [&begun, events].concat()
}

fn is_the_same_as(events: &[Event], one_owner: &[Event]) {
    let joined = of_one_owner(log(events)).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(joined.events, log(one_owner));
}

fn why_only_recorded(events: &[Event]) -> Option<RecordingError> {
    let joined = of_one_owner(log(events)).unwrap_or_else(|error| panic!("{error}"));
    joined.only_recorded
}

fn resumed() -> Event {
    Event::Resumed {
        model: None,
        gives_up: false,
    }
}

/// What a reply cost that nobody heard to its end.
fn lost() -> Event {
    Event::ReplyLost {
        usage: TokenUsage::default(),
        usd: None,
    }
}

#[test]
fn what_was_prepared_twice_is_prepared_once() {
    let events = vec![
        created(),
        commands(),
        resumed(),
        commands(),
        started(),
        said("task"),
    ];
    let joined = of_one_owner(events).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(joined.events, log(&[]));
    assert_eq!(joined.only_recorded, None);
}

#[test]
fn a_reply_that_was_not_finished_is_not_there() {
    let unfinished = [piece(), lost(), overloaded(), piece(), resumed(), lost()];
    is_the_same_as(
        &[&unfinished[..], &[said("back"), replied(), words()]].concat(),
        &[heard("back"), replied(), words()],
    );
}

#[test]
fn only_the_last_words_of_an_owner_are_about_the_sandbox() {
    let complained = [said("Go on."), said("back"), replied()];
    is_the_same_as(
        &[&[replied(), words(), resumed()], &complained[..]].concat(),
        &[replied(), words(), said("Go on."), heard("back"), replied()],
    );
    // A repair is asked for by whoever runs the checks.
    let repair = [checked("test"), said("mend it"), replied()];
    let before = [replied(), words(), taken_in("t")];
    is_the_same_as(
        &[&before, &[resumed()][..], &repair].concat(),
        &[&before[..], &repair].concat(),
    );
    let asked = [Event::RepairAsked, said("mend it"), replied()];
    is_the_same_as(
        &[&before, &[resumed()][..], &asked].concat(),
        &[&before[..], &asked].concat(),
    );
}

#[test]
fn what_was_being_shortened_is_as_it_was_before() {
    let shortening = [Event::CompactionStarted, said("Write down"), replied()];
    let whole = [&shortening[..], &[reset(), Event::CompactionEnded]].concat();
    is_the_same_as(
        &[&shortening, &[resumed(), said("back")][..], &whole].concat(),
        &[&[heard("back")], &whole[..]].concat(),
    );
    let just_after = [&whole[..], &[resumed(), said("back"), replied()]].concat();
    let error = of_one_owner(log(&just_after)).err();
    assert_eq!(error, Some(RecordingError::ResumedAnew(11)));
}

#[test]
fn checks_that_ran_again_are_there_once() {
    let work = [replied(), words(), taken_in("t")];
    let one = [checked("one")];
    let both = [checked("one"), checked("two")];
    is_the_same_as(
        &[&work[..], &one, &[resumed()], &both].concat(),
        &[&work[..], &both].concat(),
    );
    is_the_same_as(
        &[&work[..], &both, &[resumed()]].concat(),
        &[&work[..], &both].concat(),
    );
    // The same command may be listed twice.
    let twice = [checked("one"), checked("one")];
    is_the_same_as(
        &[&work[..], &one, &[resumed()], &twice].concat(),
        &[&work[..], &twice].concat(),
    );
}

#[test]
fn work_that_was_not_found_is_not_there() {
    let before = [replied(), words(), taken_in("t"), checked("one"), resumed()];
    is_the_same_as(
        &[&before[..], &[taken_in("u"), checked("one")]].concat(),
        &[replied(), words(), taken_in("u"), checked("one")],
    );
    is_the_same_as(
        &[&before[..], &[said("another sandbox"), replied()]].concat(),
        &[replied(), words(), heard("another sandbox"), replied()],
    );
}

#[test]
fn real_tools_do_not_play_what_nobody_knows() {
    let again = [runs(), resumed(), runs(), answered("4"), said("back")];
    assert_eq!(why_only_recorded(&again), None);
    let interrupted = [runs(), resumed(), answered("gone"), said("back")];
    let tool = "bash".to_owned();
    let why = RecordingError::Interrupted { at: 7, tool };
    assert_eq!(why_only_recorded(&interrupted), Some(why));
    let lost = [resumed(), Event::SandboxLost, said("another")];
    assert_eq!(
        why_only_recorded(&lost),
        Some(RecordingError::SandboxLost(6))
    );
}
