//! The traces of whole runs, as a collector gets them from the program itself.

pub(crate) mod collector;
mod content;
mod logs;
mod outline;
mod refusals;
mod trouble;

use std::process::Output;

use serde_json::Value;

use crate::runs::command_line::Desk;
use collector::{Collector, Manner};
use outline::outline;

/// A key that no collector may see.
const KEY: &str = "sk-test-77c1c2a90be44f0d";

/// What only the prompt, the model and the tools say.
const WORDS: [&str; 5] = [
    "Salute",
    "hello",
    "Greet shortly",
    "greeting.txt",
    "I look first",
];

const PROMPT: &str = "Salute the reader";

/// A run with a retry, a call that fails, and one that does not.
const SCRIPT: &str = r#"
prices = { input = 1.0, cached_input = 0.1, cache_write = 1.0, output = 5.0 }
[[replies]]
steps = [
  { fault = { kind = "overloaded", attempts = 1 } },
  { thinking = "I look first" },
  { usage = { input_tokens = 1000, cached_tokens = 400, output_tokens = 50 } },
  { tool_call = { name = "read", arguments = { path = "missing.txt" } } },
  { tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } },
]
[[replies]]
steps = [
  { usage = { input_tokens = 1100, cached_tokens = 1000, output_tokens = 10 } },
  { text = "Greet shortly" },
]
"#;

const SECTIONS: &str = r#"
[checks]
run = ["test -s src/greeting.txt"]
[providers.other]
wire_api = "anthropic_messages"
base_url = "https://api.anthropic.com"
env_key = "ANTHROPIC_API_KEY"
model = "other"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_a_tree_of_spans() {
    let collector = Collector::start(Manner::Takes).await;
    let output = run(&collector, &[]).await;
    succeeded(&output);
    let spans = collector.spans();
    insta::assert_snapshot!(outline(&spans), @r#"
    invoke_agent pullwright
      .gen_ai.agent.name "pullwright"
      .gen_ai.agent.version …
      .gen_ai.conversation.id …
      .gen_ai.operation.name "invoke_agent"
      .gen_ai.provider.name "scripted"
      .gen_ai.request.model "scripted"
      .gen_ai.usage.cache_read.input_tokens 1400
      .gen_ai.usage.input_tokens 2100
      .gen_ai.usage.output_tokens 60
      .pullwright.outcome "branch only"
      .pullwright.provider "script"
      .pullwright.usd 0.00114
      .vcs.ref.base.name "main"
      .vcs.ref.base.revision "b7465f7fa17784f63a7d0649155f8dc5793e630a"
      .vcs.repository.url.full …
      stage queued
        .pullwright.stage "queued"
      stage clone
        .pullwright.stage "clone"
        .event pullwright.sandbox_opened pullwright.sandbox.kind "local"
      stage sandbox
        .pullwright.stage "sandbox"
      stage check
        .pullwright.stage "check"
        check before
          .process.exit.code 0
      stage work
        .pullwright.stage "work"
        .event pullwright.sandbox_opened pullwright.sandbox.kind "local"
        chat scripted
          .gen_ai.conversation.id …
          .gen_ai.operation.name "chat"
          .gen_ai.provider.name "scripted"
          .gen_ai.request.model "scripted"
          .gen_ai.request.stream true
          .gen_ai.response.finish_reasons ["tool_call"]
          .gen_ai.usage.cache_read.input_tokens 400
          .gen_ai.usage.cache_write.input_tokens 0
          .gen_ai.usage.input_tokens 1000
          .gen_ai.usage.output_tokens 50
          .pullwright.provider "script"
          .pullwright.usd 0.00089
          .event pullwright.retry error.type "overloaded" pullwright.attempt 1
        execute_tool read (error)
          .error.type "tool_error"
          .gen_ai.agent.name "pullwright"
          .gen_ai.operation.name "execute_tool"
          .gen_ai.tool.call.id …
          .gen_ai.tool.name "read"
          .gen_ai.tool.type "function"
          .pullwright.tool_server "fs"
        execute_tool edit
          .gen_ai.agent.name "pullwright"
          .gen_ai.operation.name "execute_tool"
          .gen_ai.tool.call.id …
          .gen_ai.tool.name "edit"
          .gen_ai.tool.type "function"
          .pullwright.tool_server "fs"
        chat scripted
          .gen_ai.conversation.id …
          .gen_ai.operation.name "chat"
          .gen_ai.provider.name "scripted"
          .gen_ai.request.model "scripted"
          .gen_ai.request.stream true
          .gen_ai.response.finish_reasons ["stop"]
          .gen_ai.usage.cache_read.input_tokens 1000
          .gen_ai.usage.cache_write.input_tokens 0
          .gen_ai.usage.input_tokens 1100
          .gen_ai.usage.output_tokens 10
          .pullwright.provider "script"
          .pullwright.usd 0.00025
      stage check
        .pullwright.stage "check"
        check after
          .process.exit.code 0
      stage publish
        .pullwright.stage "publish"
        push
          .vcs.ref.head.revision …
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_span_is_in_one_trace_and_within_its_parent() {
    let collector = Collector::start(Manner::Takes).await;
    succeeded(&run(&collector, &[]).await);
    let spans = collector.spans();
    let root = spans.named("invoke_agent pullwright");
    assert!(root.parent_span_id.is_empty());
    let seconds = (root.end_time_unix_nano - root.start_time_unix_nano) / 1_000_000_000;
    assert!(root.start_time_unix_nano > 0 && seconds < 120, "{root:?}");
    for span in spans.all() {
        assert_eq!(span.trace_id, root.trace_id, "{}", span.name);
        if span.span_id == root.span_id {
            continue;
        }
        let parent = spans.by_id(&span.parent_span_id);
        let within = parent.start_time_unix_nano <= span.start_time_unix_nano
            && span.start_time_unix_nano <= span.end_time_unix_nano
            && span.end_time_unix_nano <= parent.end_time_unix_nano;
        assert!(within, "{} is not within {}", span.name, parent.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_is_said_as_the_variables_have_it() {
    let collector = Collector::start(Manner::Takes).await;
    succeeded(&run(&collector, &[]).await);
    assert_eq!(collector.resource()["service.name"], "pullwright");
    assert_eq!(
        collector.resource()["service.version"],
        env!("CARGO_PKG_VERSION")
    );

    let collector = Collector::start(Manner::Takes).await;
    let named = [
        ("OTEL_SERVICE_NAME", "robots"),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "deployment.environment.name=staging",
        ),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-team=blue,x-key=abc%20def"),
    ];
    succeeded(&run(&collector, &named).await);
    let resource = collector.resource();
    assert_eq!(resource["service.name"], "robots");
    assert_eq!(resource["deployment.environment.name"], "staging");
    assert_eq!(collector.header("x-team"), "blue");
    assert_eq!(collector.header("x-key"), "abc def");
    assert_eq!(collector.header("content-type"), "application/x-protobuf");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_unless_it_is_asked_for() {
    for (name, value) in [
        ("OTEL_TRACES_SAMPLER", "always_off"),
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", ""),
    ] {
        let collector = Collector::start(Manner::Takes).await;
        succeeded(&run(&collector, &[(name, value)]).await);
        assert_eq!(collector.requests(), 0, "{name}={value}");
    }
}

/// Does the job from the command line, with the collector as the endpoint.
async fn run(collector: &Collector, variables: &[(&str, &str)]) -> Output {
    let desk = Desk::new(SCRIPT, SECTIONS);
    run_at(&desk, &collector.url(), variables).await
}

async fn run_at(desk: &Desk, endpoint: &str, variables: &[(&str, &str)]) -> Output {
    let remote = desk.remote.to_str().expect("UTF-8").to_owned();
    let mut command = desk.pullwright(&[
        "code",
        &remote,
        PROMPT,
        "--config",
        "plugins.toml",
        "--json",
    ]);
    command
        .env("ANTHROPIC_API_KEY", KEY)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .envs(variables.iter().copied());
    let running = tokio::task::spawn_blocking(move || command.output());
    running.await.expect("a thread").expect("start pullwright")
}

fn succeeded(output: &Output) {
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{stdout}{stderr}");
    let last = stdout.lines().last().expect("a frame");
    let done: Value = serde_json::from_str(last).expect("JSON");
    assert_eq!(done["outcome"], "branch only", "{stdout}");
}
