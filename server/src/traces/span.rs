//! A span while it is put together.

use std::borrow::Cow;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{
    Event, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::names;

/// The most events of a span, as the SDK has it. A run of a whole night must not fill the memory.
const MAX_EVENTS: usize = 128;

/// The most links of a span. Each joined request adds one.
const MAX_LINKS: usize = 32;

/// The longest name or value, in characters: names come from models and tool servers. Content has bounds
/// of its own.
const MAX_NAME_CHARS: usize = 256;

static SCOPE: LazyLock<InstrumentationScope> = LazyLock::new(|| {
    InstrumentationScope::builder(names::AGENT)
        .with_version(env!("CARGO_PKG_VERSION"))
        .build()
});

/// A span that is not over yet.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    id: SpanId,
    parent: SpanId,
    kind: SpanKind,
    name: Cow<'static, str>,
    started_ms: u64,
    attributes: Vec<KeyValue>,
    events: SpanEvents,
    links: SpanLinks,
    status: Status,
}

impl Draft {
    pub(super) fn new(
        id: SpanId,
        parent: SpanId,
        name: impl Into<Cow<'static, str>>,
        started_ms: u64,
    ) -> Self {
        Self {
            id,
            parent,
            kind: SpanKind::Internal,
            name: name.into(),
            started_ms,
            attributes: Vec::new(),
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
        }
    }

    /// The same as a call of another service.
    pub(super) fn of_a_client(mut self) -> Self {
        self.kind = SpanKind::Client;
        self
    }

    pub(super) fn rename(&mut self, name: String) {
        self.name = name.into();
    }

    pub(super) fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.set(key, value);
        self
    }

    /// Sets an attribute; one of the same name is replaced.
    pub(super) fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        let value = value.into();
        match self
            .attributes
            .iter_mut()
            .find(|known| known.key.as_str() == key)
        {
            Some(known) => known.value = value,
            None => self.attributes.push(KeyValue::new(key, value)),
        }
    }

    pub(super) fn set_if_known(&mut self, key: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.set(key, value);
        }
    }

    /// What kind of thing went wrong. Words that say more may hold content, so none are taken.
    pub(super) fn fail(&mut self, error_type: impl Into<Cow<'static, str>>) {
        let error_type = error_type.into();
        self.set(names::ERROR_TYPE, error_type.clone());
        self.status = Status::error(error_type);
    }

    pub(super) fn started_ms(&self) -> u64 {
        self.started_ms
    }

    pub(super) fn id(&self) -> SpanId {
        self.id
    }

    pub(super) fn happened(&mut self, event: Event) {
        if self.events.events.len() < MAX_EVENTS {
            self.events.events.push(event);
        } else {
            self.events.dropped_count = self.events.dropped_count.saturating_add(1);
        }
    }

    pub(super) fn link(&mut self, to: SpanContext) {
        if self.links.links.len() < MAX_LINKS {
            self.links.links.push(Link::with_context(to));
        } else {
            self.links.dropped_count = self.links.dropped_count.saturating_add(1);
        }
    }

    pub(super) fn end(self, trace: TraceId, ended_ms: u64) -> SpanData {
        let state = TraceState::default();
        SpanData {
            span_context: SpanContext::new(trace, self.id, TraceFlags::SAMPLED, false, state),
            parent_span_id: self.parent,
            parent_span_is_remote: false,
            span_kind: self.kind,
            name: self.name,
            start_time: time(self.started_ms),
            end_time: time(ended_ms.max(self.started_ms)),
            attributes: self.attributes,
            dropped_attributes_count: 0,
            events: self.events,
            links: self.links,
            status: self.status,
            instrumentation_scope: SCOPE.clone(),
        }
    }
}

/// An event of a span.
pub(super) fn event(name: &'static str, at_ms: u64, attributes: Vec<KeyValue>) -> Event {
    Event::new(name, time(at_ms), attributes, 0)
}

/// A name that somebody else chose, shortened to what a backend takes.
pub(super) fn short(text: &str) -> String {
    text.chars().take(MAX_NAME_CHARS).collect()
}

/// A count as an attribute.
pub(super) fn int(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn time(at_ms: u64) -> SystemTime {
    let since = Duration::from_millis(at_ms);
    UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH)
}
