//! A collector on loopback that takes spans over OTLP/HTTP, or does not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value as Any};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// How it treats what is sent.
#[derive(Clone, Copy)]
pub(crate) enum Manner {
    Takes,
    /// Answers 500.
    Fails,
    /// Never answers.
    IsSilent,
}

/// A running one.
pub(crate) struct Collector {
    url: String,
    taken: Arc<Taken>,
}

struct Taken {
    manner: Manner,
    requests: Mutex<Vec<(HeaderMap, Bytes)>>,
}

/// Spans as they came.
pub(crate) struct Spans(Vec<Span>);

impl Collector {
    pub(crate) async fn start(manner: Manner) -> Self {
        let taken = Arc::new(Taken {
            manner,
            requests: Mutex::default(),
        });
        let router = Router::new()
            .route("/v1/traces", post(take))
            .with_state(Arc::clone(&taken));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, taken }
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    pub(crate) fn requests(&self) -> usize {
        self.taken.requests.lock().expect("a lock").len()
    }

    /// The bytes of all requests.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let requests = self.taken.requests.lock().expect("a lock");
        requests
            .iter()
            .flat_map(|(_, body)| body.to_vec())
            .collect()
    }

    pub(crate) fn header(&self, name: &str) -> String {
        let requests = self.taken.requests.lock().expect("a lock");
        let (headers, _) = requests.first().expect("a request");
        headers[name].to_str().expect("text").to_owned()
    }

    pub(crate) fn spans(&self) -> Spans {
        let scopes = self
            .decoded()
            .into_iter()
            .flat_map(|request| request.resource_spans);
        let spans = scopes.flat_map(|resource| resource.scope_spans);
        Spans(spans.flat_map(|scope| scope.spans).collect())
    }

    /// The attributes of the first sender.
    pub(crate) fn resource(&self) -> BTreeMap<String, Value> {
        let request = self.decoded().into_iter().next().expect("a request");
        let resource = request.resource_spans[0].resource.clone();
        attributes(&resource.expect("a resource").attributes)
    }

    fn decoded(&self) -> Vec<ExportTraceServiceRequest> {
        let requests = self.taken.requests.lock().expect("a lock");
        let bodies = requests.iter().map(|(_, body)| body.clone());
        bodies
            .map(|body| ExportTraceServiceRequest::decode(body).expect("protobuf"))
            .collect()
    }
}

impl Spans {
    pub(crate) fn all(&self) -> &[Span] {
        &self.0
    }

    /// The only span of this name.
    pub(crate) fn named(&self, name: &str) -> &Span {
        let mut found = self.0.iter().filter(|span| span.name == name);
        let span = found.next();
        let span = span.unwrap_or_else(|| panic!("no span is named {name}: {:#?}", self.0));
        assert!(found.next().is_none(), "two spans are named {name}");
        span
    }

    pub(crate) fn by_id(&self, id: &[u8]) -> &Span {
        let found = self.0.iter().find(|span| span.span_id == id);
        found.expect("a parent that was sent, too")
    }
}

/// Attributes as plain JSON.
pub(crate) fn attributes(list: &[KeyValue]) -> BTreeMap<String, Value> {
    let plain = |pair: &KeyValue| {
        let value = pair.value.clone().and_then(|value| value.value);
        (pair.key.clone(), value.map_or(Value::Null, plain_value))
    };
    list.iter().map(plain).collect()
}

fn plain_value(value: Any) -> Value {
    match value {
        Any::StringValue(text) => json!(text),
        Any::BoolValue(is_so) => json!(is_so),
        Any::IntValue(number) => json!(number),
        Any::DoubleValue(number) => json!(number),
        Any::ArrayValue(array) => {
            let values = array.values.into_iter().filter_map(|value| value.value);
            values.map(plain_value).collect()
        }
        other => panic!("an attribute of another type: {other:?}"),
    }
}

async fn take(State(taken): State<Arc<Taken>>, headers: HeaderMap, body: Bytes) -> Response {
    taken.requests.lock().expect("a lock").push((headers, body));
    match taken.manner {
        Manner::Takes => StatusCode::OK.into_response(),
        Manner::Fails => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Manner::IsSilent => std::future::pending().await,
    }
}
