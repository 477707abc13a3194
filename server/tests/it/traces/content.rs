//! Words of prompts, models and tools: sent where that is asked for, and nowhere else.

use serde_json::Value;

use super::collector::{Collector, Manner, Spans, attributes};
use super::{KEY, PROMPT, WORDS, run, succeeded};

const CAPTURE: &str = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT";

#[tokio::test(flavor = "multi_thread")]
async fn no_word_is_sent_by_default() {
    let collector = Collector::start(Manner::Takes).await;
    succeeded(&run(&collector, &[]).await);
    let bytes = collector.bytes();
    assert!(contains(&bytes, "execute_tool edit"), "no spans came");
    for word in WORDS.iter().chain(&[KEY]) {
        assert!(!contains(&bytes, word), "`{word}` was sent");
        let lower = word.to_lowercase();
        assert!(!contains(&bytes, &lower), "`{lower}` was sent");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn words_are_sent_where_they_are_asked_for_and_keys_never() {
    let collector = Collector::start(Manner::Takes).await;
    succeeded(&run(&collector, &[(CAPTURE, "true")]).await);
    let bytes = collector.bytes();
    for word in WORDS {
        assert!(contains(&bytes, word), "`{word}` was not sent");
    }
    assert!(!contains(&bytes, KEY), "the key was sent");
    let spans = collector.spans();

    let root = messages(&spans, "invoke_agent pullwright", "gen_ai.input.messages");
    assert_eq!(root[0]["role"], "user");
    assert_eq!(root[0]["parts"][0]["content"], PROMPT);

    let edit = attributes(&spans.named("execute_tool edit").attributes);
    let arguments = edit["gen_ai.tool.call.arguments"].as_str().expect("text");
    let arguments: Value = serde_json::from_str(arguments).expect("JSON");
    assert_eq!(arguments["old_str"], "hello");
    assert!(edit.contains_key("gen_ai.tool.call.result"));
    assert_eq!(
        attributes(&spans.named("check after").attributes)["process.command_line"],
        "test -s src/greeting.txt"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_the_model_shows_what_was_new_to_it_and_what_it_said() {
    let collector = Collector::start(Manner::Takes).await;
    succeeded(&run(&collector, &[(CAPTURE, "true")]).await);
    let spans = collector.spans();
    let mut chats: Vec<_> = spans
        .all()
        .iter()
        .filter(|span| span.name == "chat scripted")
        .collect();
    chats.sort_by_key(|span| span.start_time_unix_nano);
    let [first, second] = &chats[..] else {
        panic!("{} calls", chats.len());
    };
    let of = |span: &opentelemetry_proto::tonic::trace::v1::Span, key: &str| -> Value {
        let text = attributes(&span.attributes)[key].clone();
        serde_json::from_str(text.as_str().expect("text")).expect("JSON")
    };
    let system = of(first, "gen_ai.system_instructions");
    assert_eq!(system[0]["type"], "text");
    let asked = of(first, "gen_ai.input.messages").to_string();
    assert!(asked.contains(PROMPT), "{asked}");
    let said = of(first, "gen_ai.output.messages");
    assert_eq!(said[0]["role"], "assistant");
    assert_eq!(said[0]["finish_reason"], "tool_call");
    let kinds: Vec<&str> = said[0]["parts"]
        .as_array()
        .expect("parts")
        .iter()
        .map(|part| part["type"].as_str().expect("a type"))
        .collect();
    assert_eq!(kinds, ["reasoning", "tool_call", "tool_call"]);
    let answers = of(second, "gen_ai.input.messages");
    assert_eq!(answers[0]["role"], "tool");
    assert_eq!(answers[0]["parts"][0]["type"], "tool_call_response");
    assert_eq!(answers.as_array().map(Vec::len), Some(2), "{answers}");
    assert_eq!(
        of(second, "gen_ai.output.messages")[0]["parts"][0]["content"],
        "Greet shortly"
    );
}

fn messages(spans: &Spans, name: &str, key: &str) -> Value {
    let text = attributes(&spans.named(name).attributes)[key].clone();
    serde_json::from_str(text.as_str().expect("text")).expect("JSON")
}

fn contains(bytes: &[u8], word: &str) -> bool {
    bytes
        .windows(word.len())
        .any(|window| window == word.as_bytes())
}
