use std::time::Duration;

use pullwright_protocol::provider::{StopReason, TokenUsage};
use pullwright_protocol::{Content, Provenance, RunRequest, SandboxUsage, Stage, ToolCall};

use super::*;

/// What a log of these events says; they are a second apart.
fn past(events: Vec<Event>) -> Past {
    let mut past = Past::default();
    for (seq, event) in (1..).zip(events) {
        let at_ms = seq * 1000;
        past.take(LoggedEvent { seq, at_ms, event });
    }
    past.settle();
    past
}

fn started() -> Event {
    Event::ConversationStarted {
        provenance: provenance("one"),
        limits: Default::default(),
        system: String::new(),
        tools: Vec::new(),
        beginning: Default::default(),
    }
}

fn provenance(row: &str) -> Provenance {
    Provenance {
        provider: row.to_owned(),
        wire: "w".to_owned(),
        model: "m".to_owned(),
        account: None,
    }
}

fn said(text: &str) -> Event {
    let item = Item::user(text);
    Event::ItemAppended { item }
}

fn replied(stop: StopReason) -> Event {
    Event::ModelReplied {
        stop,
        usage: TokenUsage::default(),
        usd: Some(0.5),
        duration_ms: 1,
    }
}

fn text(text: &str) -> Event {
    let text = text.to_owned();
    let item = Item::neutral(Content::Text { text });
    Event::ItemAppended { item }
}

fn call(call_id: &str) -> Event {
    let call = ToolCall {
        call_id: call_id.to_owned(),
        name: "bash".to_owned(),
        arguments: "{}".to_owned(),
    };
    let item = Item::neutral(Content::ToolCall(call));
    Event::ItemAppended { item }
}

fn stored(tree: &str, during_work: bool) -> Event {
    Event::PatchStored {
        bytes: 1,
        files: 1,
        tree: tree.to_owned(),
        during_work,
    }
}

fn checked(phase: CheckPhase, tree: &str) -> Event {
    Event::Checked {
        report: CheckReport {
            command: "test".to_owned(),
            exit_code: Some(0),
            duration_ms: 1,
            tree: tree.to_owned(),
            phase,
            output_tail: String::new(),
        },
    }
}

fn chosen() -> Event {
    Event::CommandsChosen {
        setup: Vec::new(),
        checks: vec!["test".to_owned()],
    }
}

fn resumed() -> Event {
    Event::Resumed {
        model: None,
        gives_up: false,
    }
}

fn texts(past: &Past) -> Vec<String> {
    let talk = past.talk.as_ref().expect("a conversation");
    let text = |item: Item| match item.content {
        Content::User { parts } => pullwright_protocol::item::joined_text(&parts),
        Content::Text { text } => text,
        other => format!("{other:?}"),
    };
    talk.conversation.items().into_iter().map(text).collect()
}

fn last_words(past: &Past) -> Option<String> {
    past.talk.as_ref()?.last.as_ref()?.last_words()
}

#[test]
fn last_words_are_those_after_which_nothing_was_said() {
    let mut events = vec![
        started(),
        said("task"),
        replied(StopReason::ToolUse),
        call("1"),
    ];
    assert_eq!(last_words(&past(events.clone())), None, "a call is open");
    events.extend([replied(StopReason::EndTurn), text("done")]);
    assert_eq!(last_words(&past(events.clone())), Some("done".to_owned()));
    events.push(said("mend it"));
    assert_eq!(last_words(&past(events)), None);
}

#[test]
fn a_compaction_that_was_cut_off_begins_again() {
    let mut events = vec![
        started(),
        said("task"),
        Event::CompactionStarted,
        said("write a summary"),
    ];
    assert_eq!(texts(&past(events.clone())), ["task"]);
    events.push(Event::ConversationReset {
        reason: ResetReason::TooLong,
        items: vec![Item::user("a transcript")],
        tokens_before: 9,
        tokens_after: 1,
    });
    events.extend([replied(StopReason::EndTurn), text("the summary")]);
    let cut_off = past(events.clone());
    assert_eq!(texts(&cut_off), ["task"]);
    assert_eq!(last_words(&cut_off), None, "a summary is no last word");
    assert_eq!(cut_off.spent.turns, 1, "it was paid for all the same");
    events.push(Event::ConversationReset {
        reason: ResetReason::TooLong,
        items: vec![Item::user("task and summary")],
        tokens_before: 9,
        tokens_after: 2,
    });
    events.push(Event::CompactionEnded);
    assert_eq!(texts(&past(events)), ["task and summary"]);
}

#[test]
fn only_what_the_model_ended_with_is_final() {
    let events = vec![started(), said("task"), stored("a", true)];
    let salvaged = past(events.clone());
    assert_eq!(
        (salvaged.is_final, salvaged.kept.as_deref()),
        (false, Some("a"))
    );
    let ended = past([events, vec![stored("b", false)]].concat());
    assert!(ended.is_final);
}

#[test]
fn a_lost_sandbox_is_open_until_another_is_made_and_told() {
    let mut events = vec![started(), said("task"), Event::SandboxLost];
    assert_eq!(past(events.clone()).loss, Some(Loss::Open));
    events.push(Event::WorkspaceRestored { has_work: true });
    let made = Some(Loss::Made { has_work: true });
    assert_eq!(past(events.clone()).loss, made);
    events.push(said("the sandbox was lost"));
    assert_eq!(past(events).loss, None);
}

#[test]
fn what_is_done_again_is_no_progress() {
    let round = || vec![resumed(), chosen(), checked(CheckPhase::Before, "t")];
    let first = [vec![chosen(), checked(CheckPhase::Before, "t")], round()].concat();
    assert_eq!(past(first.clone()).stalls, 1);
    let again = [first, round()].concat();
    assert_eq!(past(again.clone()).stalls, 2);
    let further = [again, vec![checked(CheckPhase::After, "u")]].concat();
    assert_eq!(past(further).stalls, 0);
}

#[test]
fn time_counts_while_somebody_works() {
    let request: RunRequest = serde_json::from_str(r#"{"repoUrl": "r", "prompt": "p"}"#).unwrap();
    let status = |stage| Event::Status {
        stage,
        message: String::new(),
    };
    let events = vec![
        Event::RunCreated { request },
        status(Stage::Queued),
        status(Stage::Queued),
        status(Stage::Clone),
        said("work"),
        resumed(),
        said("work"),
    ];
    assert_eq!(past(events).spent.time, Duration::from_secs(2));
}

#[test]
fn a_provider_that_took_over_is_the_one_to_go_on_with() {
    let events = vec![
        started(),
        Event::ProviderChanged {
            provenance: provenance("two"),
            limits: Default::default(),
        },
    ];
    let talk = past(events).talk.expect("a conversation");
    let rows = (talk.first.provider, talk.model.provider, talk.rows);
    let expected = ["one", "two"].map(str::to_owned);
    assert_eq!(
        rows,
        ("one".to_owned(), "two".to_owned(), expected.to_vec())
    );
}

#[test]
fn what_was_lost_is_counted_once_for_every_later_owner() {
    let delta = || Event::MessageDelta {
        delta: "I".to_owned(),
    };
    let lost = |input_tokens| Event::ReplyLost {
        usage: TokenUsage {
            input_tokens,
            ..TokenUsage::default()
        },
        usd: Some(0.25),
    };
    let mut events = vec![started(), said("task"), delta(), lost(5), delta()];
    let interrupted = past(events.clone()).spent;
    assert!(interrupted.is_replying);
    assert_eq!((interrupted.turns, interrupted.usage.input_tokens), (1, 5));
    events.extend([resumed(), lost(7), resumed(), delta(), resumed(), lost(7)]);
    let spent = past(events).spent;
    assert!(!spent.is_replying);
    assert_eq!((spent.turns, spent.usage.input_tokens), (3, 19));
    assert_eq!(spent.usage.usd, Some(0.75));
}

#[test]
fn what_the_sandboxes_of_all_owners_used_is_one_sum() {
    let used = |cpu_core_seconds| Event::SandboxUsed {
        used: SandboxUsage {
            cpu_core_seconds,
            memory_gib_seconds: 1.0,
        },
    };
    let sum = past(vec![used(2.0), resumed(), used(3.0)]).spent.usage;
    let expected = SandboxUsage {
        cpu_core_seconds: 5.0,
        memory_gib_seconds: 2.0,
    };
    assert_eq!(sum.sandbox, Some(expected));
}

#[test]
fn a_repair_is_what_is_asked_for_as_one() {
    let ended = vec![started(), said("task"), stored("a", false)];
    let told = past([ended.clone(), vec![resumed(), said("restarted")]].concat());
    assert_eq!((told.repairs, told.is_final), (0, false));
    let asked = past([ended, vec![Event::RepairAsked, said("mend it")]].concat());
    assert_eq!((asked.repairs, asked.is_final), (1, false));
}

#[test]
fn a_patch_that_was_removed_is_not_gone_on_from() {
    let events = vec![started(), stored("a", false), Event::PatchRemoved];
    let past = past(events);
    assert_eq!((past.kept, past.is_final), (None, false));
}

#[test]
fn reports_are_those_of_what_is_pushed() {
    let mut events = vec![
        started(),
        stored("made", false),
        checked(CheckPhase::After, "made"),
        checked(CheckPhase::After, "moved"),
    ];
    let trees = |past: &Past| -> Vec<String> {
        past.reports()
            .into_iter()
            .map(|report| report.tree)
            .collect()
    };
    assert_eq!(trees(&past(events.clone())), ["made"]);
    events.push(Event::PushStarted {
        branch: "b".to_owned(),
        tree: "moved".to_owned(),
        onto: Some("c".to_owned()),
        fork: None,
        moved: None,
        verified: true,
    });
    let pushing = past(events);
    assert_eq!(trees(&pushing), ["moved"]);
    let pushing = pushing.pushing.expect("it is pushed");
    assert_eq!(pushing.onto.as_deref(), Some("c"));
    assert!(pushing.verified);
}

#[test]
fn a_branch_is_begun_where_the_host_was_to_commit() {
    let push = |branch: &str, onto: Option<&str>, verified| Event::PushStarted {
        branch: branch.to_owned(),
        tree: "t".to_owned(),
        onto: onto.map(str::to_owned),
        fork: None,
        moved: None,
        verified,
    };
    let fetched = Event::RepositoryFetched {
        url: "u".to_owned(),
        branch: "main".to_owned(),
        commit: "first".to_owned(),
        tree: "t".to_owned(),
    };
    let events = vec![
        fetched,
        push("b", Some("never"), false),
        push("b", None, true),
        push("b", Some("second"), true),
        // It grows.
        push("main", None, true),
    ];
    assert_eq!(past(events).begun_at, ["first", "second"]);
}

#[test]
fn a_sandbox_for_checks_elsewhere_is_not_gone_on_in() {
    let opened = |elsewhere| Event::SandboxOpened {
        kind: "local".to_owned(),
        handle: serde_json::Value::Null,
        elsewhere,
    };
    let mut events = vec![started(), opened(false), opened(true)];
    assert!(past(events.clone()).is_elsewhere);
    events.push(opened(false));
    assert!(!past(events).is_elsewhere);
}

#[test]
fn time_put_aside_is_known_and_neither_counts_nor_is_a_death() {
    let parked = |until_ms| Event::Parked {
        stage: Stage::Publish,
        until_ms,
        reason: "a limit".to_owned(),
    };
    let resumed = || Event::Resumed {
        model: None,
        gives_up: false,
    };
    // At seconds one to six.
    let events = vec![
        started(),
        resumed(),
        parked(63_000),
        resumed(),
        parked(11_000),
    ];
    let waiting = past(events.clone());
    assert!(waiting.parked_at.is_some());
    assert_eq!(waiting.parked, Duration::from_secs(66));
    assert_eq!(waiting.stalls, 0);
    let gone_on = past([events, vec![resumed()]].concat());
    assert_eq!(gone_on.parked_at, None);
    assert_eq!((gone_on.parked, gone_on.stalls), (waiting.parked, 1));
    // There was an owner from the second to the third second, and from the fourth to the fifth.
    assert_eq!(gone_on.spent.time, Duration::from_secs(2));
}

#[test]
fn time_put_aside_for_a_pull_request_s_details_is_told_from_the_rest() {
    let parked = |until_ms| Event::Parked {
        stage: Stage::Publish,
        until_ms,
        reason: "a limit".to_owned(),
    };
    let opened = Event::PullRequestOpened {
        url: "https://a.example/o/r/pull/1".to_owned(),
        number: 1,
        branch: "b".to_owned(),
        base: "main".to_owned(),
        draft: false,
    };
    // At seconds one to four.
    let waited = past(vec![started(), parked(62_000), opened, parked(9_000)]);
    assert_eq!(waited.parked, Duration::from_secs(65));
    assert_eq!(waited.parked_proposed, Duration::from_secs(5));
}
