//! Variables that ask for what cannot be done.

use std::process::Output;

use super::{SCRIPT, SECTIONS, run_at};
use crate::runs::command_line::Desk;

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sent_is_refused_before_anything_runs() {
    for (name, value, remedy) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "`otlp`"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon", "milliseconds"),
        (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "not an address",
            "OTEL_EXPORTER_OTLP",
        ),
    ] {
        let desk = Desk::new(SCRIPT, SECTIONS);
        let output = run_at(&desk, "http://127.0.0.1:1", &[(name, value)]).await;
        let complaint = complaint(&output);
        for part in [name, value, remedy] {
            assert!(complaint.contains(part), "{part}: {complaint}");
        }
        assert!(!desk.path.join("data/runs.sqlite").exists(), "{name}");
    }
}

fn complaint(output: &Output) -> String {
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        text.contains("error: ") && !text.contains("panicked"),
        "{text}"
    );
    text
}
