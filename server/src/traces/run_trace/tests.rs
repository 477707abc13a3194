mod part;

use opentelemetry::trace::SpanId;
use pullwright_protocol::{Content, Event, Item, Native, RawJson};

use super::*;
use part::{
    Part, asks, attribute, call_began, call_ended, created, done, error, error_type, ms,
    provenance, pushed, replied, stage, times,
};

#[test]
fn spans_have_the_times_of_events() {
    let mut part = Part::after(0, 1);
    part.event(1, created())
        .event(2, stage(Stage::Queued))
        .event(10, stage(Stage::Work))
        .event(20, asks())
        .event(120, replied(70))
        .event(121, call_began("a"))
        .event(122, call_began("b"))
        .event(500, call_ended("a", 370))
        // Told after `a`, though it came long before.
        .event(501, call_ended("b", 8))
        .event(600, stage(Stage::Publish))
        .event(700, pushed())
        .event(710, stage(Stage::Publish))
        .event(
            950,
            Event::PullRequestOpened {
                url: "https://github.com/owner/repo/pull/7".to_owned(),
                number: 7,
                branch: "pullwright/greet".to_owned(),
                base: "main".to_owned(),
                draft: false,
            },
        )
        .event(1000, done(Outcome::PullRequest));
    for (name, expected) in [
        ("stage queued", (2, 10)),
        ("chat m-1", (50, 120)),
        ("execute_tool a", (121, 491)),
        ("execute_tool b", (122, 130)),
        ("stage work", (10, 600)),
        ("push", (600, 700)),
        ("pull_request", (710, 950)),
        ("stage publish", (600, 1000)),
        (names::ROOT, (0, 1000)),
    ] {
        assert_eq!(times(part.named(name)), expected, "{name}");
        assert_eq!(error_type(part.named(name)), None, "{name}");
    }
    let root = part.named(names::ROOT);
    assert_eq!(root.parent_span_id, SpanId::INVALID);
    assert_eq!(attribute(root, names::CHANGE_ID).as_deref(), Some("7"));
    assert_eq!(
        attribute(root, names::PROVIDER).as_deref(),
        Some("anthropic")
    );
    let ids: std::collections::HashSet<_> = part
        .spans
        .iter()
        .map(|span| span.span_context.span_id())
        .collect();
    assert_eq!(ids.len(), part.spans.len(), "two spans share an id");
}

#[test]
fn a_model_that_does_not_answer_is_one_failed_call_with_its_attempts() {
    let mut part = Part::after(0, 0);
    part.event(0, created())
        .event(10, stage(Stage::Work))
        .event(20, asks())
        .event(100, error(FailureKind::Overloaded, true, 1))
        .event(300, error(FailureKind::Overloaded, true, 2))
        .event(700, error(FailureKind::Overloaded, false, 3))
        .event(701, error(FailureKind::Overloaded, false, 1))
        .event(702, done(Outcome::Failed(FailureKind::Overloaded)));
    let chat = part.named("chat m-1");
    assert_eq!(times(chat), (20, 700));
    assert_eq!(error_type(chat).as_deref(), Some("overloaded"));
    let retries: Vec<u64> = chat
        .events
        .iter()
        .map(|event| ms(event.timestamp))
        .collect();
    assert_eq!(retries, [100, 300]);
    for name in ["stage work", names::ROOT] {
        assert_eq!(
            error_type(part.named(name)).as_deref(),
            Some("overloaded"),
            "{name}"
        );
    }
}

#[test]
fn an_error_that_is_no_model_s_is_an_event_of_its_stage() {
    let mut part = Part::after(0, 0);
    part.event(0, created())
        .event(10, stage(Stage::Work))
        .event(20, asks())
        .event(30, error(FailureKind::ToolServer, false, 1))
        .event(31, done(Outcome::Failed(FailureKind::ToolServer)));
    assert_eq!(part.spans.len(), 2);
    let stage = part.named("stage work");
    assert_eq!(stage.events[0].name, names::ERROR);
}

#[test]
fn what_cannot_be_published_is_a_failed_span() {
    for (is_pushed, name) in [(false, "push"), (true, "pull_request")] {
        let mut part = Part::after(0, 0);
        part.event(0, created()).event(10, stage(Stage::Publish));
        if is_pushed {
            part.event(20, pushed()).event(21, stage(Stage::Publish));
        }
        part.event(90, error(FailureKind::Forge, false, 1))
            .event(91, done(Outcome::Failed(FailureKind::Forge)));
        let span = part.named(name);
        assert_eq!(error_type(span).as_deref(), Some("forge"), "{name}");
        assert_eq!(ms(span.end_time), 90, "{name}");
    }
}

#[test]
fn a_call_without_an_answer_ends_with_its_stage() {
    let mut part = Part::after(0, 0);
    part.event(0, created())
        .event(10, stage(Stage::Work))
        .event(20, call_began("a"))
        .event(90, done(Outcome::Cancelled));
    let call = part.named("execute_tool a");
    assert_eq!(times(call), (20, 90));
    assert_eq!(error_type(call).as_deref(), Some("interrupted"));
    assert_eq!(error_type(part.named(names::ROOT)), None);
    let outcome = attribute(part.named(names::ROOT), names::OUTCOME);
    assert_eq!(outcome.as_deref(), Some("cancelled"));
}

#[test]
fn a_run_that_goes_on_elsewhere_stays_in_one_trace_under_one_root() {
    let mut first = Part::after(0, 0);
    first
        .event(0, created())
        .event(10, stage(Stage::Work))
        .event(50, call_began("a"));
    let Part { trace, seq, .. } = first;
    let left = trace.hand_on();
    let names: Vec<&str> = left.iter().map(|span| span.name.as_ref()).collect();
    assert_eq!(names, ["execute_tool a", "stage work"]);
    assert_eq!(
        attribute(&left[1], names::HANDED_ON).as_deref(),
        Some("true")
    );

    let mut second = Part::after(seq, 5000);
    second
        .event(5000, stage(Stage::Work))
        .event(6000, done(Outcome::NoChanges));
    let root = second.named(names::ROOT);
    assert_eq!(times(root), (0, 6000));
    for span in left.iter().chain(&second.spans) {
        assert_eq!(span.span_context.trace_id(), root.span_context.trace_id());
    }
    for stage in [&left[1], second.named("stage work")] {
        assert_eq!(stage.parent_span_id, root.span_context.span_id());
        assert!(root.start_time <= stage.start_time && stage.end_time <= root.end_time);
    }
    assert_ne!(
        left[1].span_context.span_id(),
        second.spans[0].span_context.span_id()
    );
}

#[test]
fn a_later_owner_learns_the_model_from_its_reply() {
    let said = Item {
        content: Content::Text {
            text: "It is done".to_owned(),
        },
        native: Some(Native {
            provenance: provenance(),
            json: RawJson::parse("{}").unwrap(),
        }),
    };
    let mut part = Part::after(70, 5000);
    part.event(5000, stage(Stage::Work))
        .event(5200, replied(100))
        .event(5200, Event::ItemAppended { item: said })
        .event(6000, done(Outcome::NoChanges));
    for name in ["chat m-1", names::ROOT] {
        let provider = attribute(part.named(name), names::PROVIDER);
        assert_eq!(provider.as_deref(), Some("anthropic"), "{name}");
    }
}

#[test]
fn a_clock_that_goes_back_makes_no_span_end_before_it_starts() {
    let mut part = Part::after(0, 0);
    part.event(0, created())
        .event(500, stage(Stage::Work))
        .event(100, asks())
        .event(90, replied(5000))
        .event(80, call_began("a"))
        .event(70, call_ended("a", u64::MAX))
        .event(60, done(Outcome::NoChanges));
    for span in &part.spans {
        assert!(span.start_time <= span.end_time, "{}", span.name);
        assert!(ms(span.end_time) <= 500, "{}", span.name);
    }
    assert_eq!(times(part.named("stage work")), (500, 500));
}

#[test]
fn what_happens_without_end_is_kept_up_to_a_bound_and_counted() {
    let mut part = Part::after(0, 0);
    part.event(0, created()).event(1, stage(Stage::Work));
    for _ in 0..1000 {
        let server = "s".repeat(10_000);
        let reason = "r".repeat(10_000);
        part.event(2, Event::ToolServerRestarted { server, reason });
    }
    for call in 0..1000 {
        part.event(3, call_began(&call.to_string()));
    }
    assert!(part.trace.calls.len() <= 64);
    part.event(4, done(Outcome::NoChanges));
    let stage = part.named("stage work");
    assert_eq!(
        (stage.events.len(), stage.events.dropped_count),
        (128, 1000 - 128)
    );
    let server = &stage.events[0].attributes[0];
    assert!(server.value.to_string().len() <= 256);
}
