//! Counts words. The same tools as a program (`src/main.rs`) and as a native library.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use pullwright_tool_kit::{Call, Output, Refusal, ToolDef, ToolServer};

/// The most words one call lists.
const MAX_LISTED: usize = 1000;

/// The tools.
#[must_use]
pub fn server() -> ToolServer<Words> {
    ToolServer::new("words", env!("CARGO_PKG_VERSION"), Arc::new(Words))
        .tool(ToolDef::new("count").read_only(), Words::count)
        .tool(ToolDef::new("top").read_only(), Words::top)
        .tool(ToolDef::new("spell").read_only(), Words::spell)
}

/// Nothing has to be remembered between calls.
#[derive(Debug)]
pub struct Words;

/// Counts the words of a text.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// The text to count in.
    text: String,
}

/// Lists the most frequent words of a text, each with how often it occurs.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Top {
    /// The text to count in.
    text: String,
    /// How many words to list, at most 1000. Default 10.
    #[serde(default = "ten")]
    limit: usize,
}

/// Says a text word by word, as it would be read aloud.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spell {
    /// The text to say.
    text: String,
    /// How long to wait after each word, in milliseconds.
    #[serde(default)]
    pause_ms: u64,
}

fn ten() -> usize {
    10
}

impl Words {
    async fn count(self: Arc<Self>, args: Count, _call: Call) -> Result<Output, Refusal> {
        let words = args.text.split_whitespace().count();
        Ok(Output::text(words.to_string()))
    }

    async fn top(self: Arc<Self>, args: Top, _call: Call) -> Result<Output, Refusal> {
        if args.limit == 0 || args.limit > MAX_LISTED {
            let limit = args.limit;
            return Err(Refusal::new(format!(
                "limit must be from 1 to {MAX_LISTED}, not {limit}"
            )));
        }
        let mut counts: HashMap<String, usize> = HashMap::new();
        for word in args.text.split_whitespace() {
            *counts.entry(word.to_lowercase()).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by(|(a, most), (b, less)| less.cmp(most).then_with(|| a.cmp(b)));
        let lines = counts.iter().take(args.limit);
        let lines: Vec<String> = lines
            .map(|(word, count)| format!("{count} {word}"))
            .collect();
        Ok(Output::text(lines.join("\n")))
    }

    async fn spell(self: Arc<Self>, args: Spell, call: Call) -> Result<Output, Refusal> {
        let words: Vec<&str> = args.text.split_whitespace().collect();
        for (done, word) in (1_u64..).zip(&words) {
            call.step(done, words.len() as u64, &format!("{word}\n"))
                .await;
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(args.pause_ms)) => {}
                () = call.cancelled().cancelled() => return Err(Refusal::new("cancelled")),
            }
        }
        Ok(Output::text(format!("said {} words", words.len())))
    }
}

pullwright_tool_kit::export_library!(server());
