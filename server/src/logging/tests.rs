use super::*;

#[test]
fn a_record_is_one_line_whatever_is_in_it() {
    let mut out = OneLine(Vec::new());
    out.write_all(b"WARN a\nWARN forged\r\nb\n").unwrap();
    assert_eq!(out.0, b"WARN a\\nWARN forged\\r\\nb\n");
}

#[test]
fn a_record_without_an_end_stays_without() {
    assert_eq!(in_one_line(b"a\nb"), b"a\\nb");
    assert_eq!(in_one_line(b"\n"), b"\n");
    assert_eq!(in_one_line(b""), b"");
}

/// A forge answers with a credential, and a log is no place for it.
#[test]
fn a_whole_message_is_not_logged_even_where_everything_is() {
    let said = Kept::default();
    let filter = EnvFilter::new("trace,rmcp::service=trace").and(filter::filter_fn(is_no_message));
    let layer = fmt::layer().with_writer(said.clone()).with_filter(filter);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        tracing::debug!(target: "rmcp::service", "canary");
        tracing::trace!(target: "rmcp", "canary");
        tracing::info!(target: "rmcp::service", "it begins");
        tracing::trace!(target: "rmcp_like", "it goes on");
    });
    let said = String::from_utf8(said.0.lock().unwrap().clone()).unwrap();
    assert!(!said.contains("canary"), "{said}");
    assert!(
        said.contains("it begins") && said.contains("it goes on"),
        "{said}"
    );
}

#[derive(Clone, Default)]
struct Kept(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Kept {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
