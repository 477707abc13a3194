//! Sends spans, and says once when that does not work.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{self, SpanData};

use super::client::Client;
use super::settings::TracesError;

/// An exporter over OTLP to the collector that the variables name.
pub(super) fn open(timeout: Duration) -> Result<Exporter, TracesError> {
    let builder = SpanExporter::builder()
        .with_http()
        .with_http_client(Client::new(timeout)?);
    Ok(Exporter {
        otlp: builder.build()?,
        lost: AtomicU64::new(0),
        is_down: AtomicBool::new(false),
    })
}

/// The SDK's exporter. A collector that is away for a day is one warning, not one for each batch.
#[derive(Debug)]
pub(super) struct Exporter {
    otlp: SpanExporter,
    lost: AtomicU64,
    is_down: AtomicBool,
}

impl trace::SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        match self.otlp.export(batch).await {
            Ok(()) => self.is_up(),
            Err(error) => self.failed(spans, &error.to_string()),
        }
        Ok(())
    }

    fn shutdown_with_timeout(&self, limit: Duration) -> OTelSdkResult {
        let lost = self.lost.load(Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(lost, "spans that the collector did not take are lost");
        }
        self.otlp.shutdown_with_timeout(limit)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.otlp.set_resource(resource);
    }
}

impl Exporter {
    fn is_up(&self) {
        if self.is_down.swap(false, Ordering::Relaxed) {
            let lost = self.lost.load(Ordering::Relaxed);
            tracing::warn!(
                lost,
                "the collector takes spans again; those lost so far are counted"
            );
        }
    }

    fn failed(&self, spans: u64, error: &str) {
        let lost = self.lost.fetch_add(spans, Ordering::Relaxed) + spans;
        if !self.is_down.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                lost,
                error,
                "the collector does not take spans, which are lost until it does; see \
                 OTEL_EXPORTER_OTLP_ENDPOINT"
            );
        }
    }
}
