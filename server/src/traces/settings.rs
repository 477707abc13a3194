//! What the standard variables of OpenTelemetry say.
//!
//! Those of the exporter's address and headers, of the sampler and of the queue are read by the SDK itself;
//! here is what decides whether there are traces at all, and what it leaves out.

use std::time::Duration;

use opentelemetry::{Key, KeyValue};
use opentelemetry_sdk::Resource;

use super::names;

/// How long a collector may take to answer unless `OTEL_EXPORTER_OTLP_TIMEOUT` says otherwise, as the
/// specification has it.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

const PROTOCOL: &str = "http/protobuf";
const SERVICE_NAME: &str = "service.name";
const SERVICE_VERSION: &str = "service.version";

/// Variables that mean the same, the one that counts more first: that of traces, and that of all signals.
type Variables = [&'static str; 2];

const ENDPOINTS: Variables = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];
const PROTOCOLS: Variables = [
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
];
const TIMEOUTS: Variables = [
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
];

/// Whether the words of prompts, replies and tools are sent; the variable of all GenAI instrumentations.
const CAPTURE: &str = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT";

/// Why no traces can be sent.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// A variable has a value that is not supported.
    #[error("{variable} is `{value}`, which is not supported; {remedy}")]
    Unsupported {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The exporter cannot be made from the variables.
    #[error("traces cannot be sent as the variables OTEL_EXPORTER_OTLP_… say: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// There is no HTTP client.
    #[error("the HTTP client for traces cannot be made")]
    Client(#[from] reqwest::Error),
}

/// How traces are sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) timeout: Duration,
    pub(super) captures_content: bool,
}

impl Settings {
    /// Nothing where no traces are asked for.
    pub(super) fn read(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, TracesError> {
        let set = |name| variable(name).filter(|value| !value.trim().is_empty());
        let has_endpoint = first(&set, ENDPOINTS).is_some();
        let is_disabled = set("OTEL_SDK_DISABLED").is_some_and(|value| is(&value, "true"));
        let exporter = set("OTEL_TRACES_EXPORTER").unwrap_or_else(|| "otlp".to_owned());
        if !has_endpoint || is_disabled || is(&exporter, "none") {
            return Ok(None);
        }
        if !is(&exporter, "otlp") {
            return Err(TracesError::Unsupported {
                variable: "OTEL_TRACES_EXPORTER",
                value: exporter,
                remedy: "use `otlp`, or `none` for no traces",
            });
        }
        if let Some((variable, value)) = first(&set, PROTOCOLS)
            && !is(&value, PROTOCOL)
        {
            return Err(TracesError::Unsupported {
                variable,
                value,
                remedy: "use `http/protobuf` and the collector's address for it, whose port is 4318 \
                         most of the time",
            });
        }
        Ok(Some(Self {
            timeout: timeout(&set)?,
            captures_content: set(CAPTURE).is_some_and(|value| captures(&value)),
        }))
    }
}

/// Who sends: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`, and our own name and version where they
/// do not say.
pub(super) fn resource() -> Resource {
    let told = Resource::builder().build();
    let named = told.get(&Key::new(SERVICE_NAME));
    let is_named = named.is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let is_versioned = told.get(&Key::new(SERVICE_VERSION)).is_some();
    let mut resource = Resource::builder();
    if !is_named {
        resource = resource.with_service_name(names::AGENT);
    }
    if !is_versioned {
        let version = KeyValue::new(SERVICE_VERSION, env!("CARGO_PKG_VERSION"));
        resource = resource.with_attribute(version);
    }
    resource.build()
}

/// The first of `variables` that is set, and its value.
fn first(
    set: &impl Fn(&'static str) -> Option<String>,
    variables: Variables,
) -> Option<(&'static str, String)> {
    variables
        .into_iter()
        .find_map(|name| Some((name, set(name)?)))
}

fn timeout(set: &impl Fn(&'static str) -> Option<String>) -> Result<Duration, TracesError> {
    let Some((variable, value)) = first(set, TIMEOUTS) else {
        return Ok(DEFAULT_TIMEOUT);
    };
    match value.trim().parse() {
        Ok(milliseconds) if milliseconds > 0 => Ok(Duration::from_millis(milliseconds)),
        _ => Err(TracesError::Unsupported {
            variable,
            value,
            remedy: "use a number of milliseconds, such as 10000",
        }),
    }
}

/// Of the values that instrumentations know, those that ask for content in spans.
fn captures(value: &str) -> bool {
    ["true", "span_only", "span_and_event"]
        .into_iter()
        .any(|yes| is(value, yes))
}

fn is(value: &str, expected: &str) -> bool {
    value.trim().eq_ignore_ascii_case(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<Settings>, String> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Settings::read(variable).map_err(|error| error.to_string())
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");

    #[test]
    fn without_an_endpoint_or_disabled_there_are_no_traces() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]), Ok(None));
        assert_eq!(read(&[("OTEL_TRACES_EXPORTER", "otlp")]), Ok(None));
        assert_eq!(read(&[ENDPOINT, ("OTEL_SDK_DISABLED", "True")]), Ok(None));
        assert_eq!(
            read(&[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")]),
            Ok(None)
        );
    }

    #[test]
    fn content_is_sent_only_where_it_is_asked_for() {
        let captures = |value| {
            let settings = read(&[ENDPOINT, (CAPTURE, value)]).unwrap().unwrap();
            settings.captures_content
        };
        for yes in ["true", "TRUE", "SPAN_ONLY", "span_and_event"] {
            assert!(captures(yes), "{yes}");
        }
        for no in ["", "false", "1", "NO_CONTENT", "EVENT_ONLY"] {
            assert!(!captures(no), "{no}");
        }
        assert!(!read(&[ENDPOINT]).unwrap().unwrap().captures_content);
    }

    #[test]
    fn the_timeout_of_traces_counts_more() {
        let of = |variables: &[(&str, &str)]| read(variables).unwrap().unwrap().timeout;
        assert_eq!(of(&[ENDPOINT]), DEFAULT_TIMEOUT);
        let all = ("OTEL_EXPORTER_OTLP_TIMEOUT", "3000");
        let own = ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "200");
        assert_eq!(of(&[ENDPOINT, all]), Duration::from_secs(3));
        assert_eq!(of(&[ENDPOINT, all, own]), Duration::from_millis(200));
    }

    #[test]
    fn what_cannot_be_done_is_named_with_its_remedy() {
        for (name, value, expected) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf"),
            (
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
                "http/json",
                "http/protobuf",
            ),
            ("OTEL_TRACES_EXPORTER", "zipkin", "`otlp`"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "milliseconds"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "0", "milliseconds"),
        ] {
            let error = read(&[ENDPOINT, (name, value)]).unwrap_err();
            for part in [name, value, expected] {
                assert!(error.contains(part), "{error}");
            }
        }
    }
}
