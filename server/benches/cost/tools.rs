//! Calls of the built-in tools over the child link, as a run makes them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pullwright_core::tools::{ApproveAll, OpenOnce, ToolIo, ToolServer, ToolServerOptions};
use pullwright_link::ChildCommand;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::model::COMMAND;
use crate::sample::Sample;
use crate::server::PULLWRIGHT;
use crate::{Effort, bare};

const TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) fn measure(effort: Effort) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let text: String = (0..500).map(|line| format!("line {line}\n")).collect();
        std::fs::write(folder.path().join("a.txt"), text).unwrap();
        start(effort, folder.path())
            .await
            .print("a tool server, to its list of tools");
        let fs = connect("fs", folder.path()).await;
        let read = calls(&fs, "read", effort, |_| json!({"path": "a.txt"})).await;
        read.print("fs read, 500 lines");
        calls(&fs, "edit", effort, edit)
            .await
            .print("fs edit, atomic");
        let bash = connect("bash", folder.path()).await;
        let ran = calls(&bash, "bash", effort, |_| json!({"command": COMMAND})).await;
        ran.print("bash `echo hi`");
        let spawn = |_| {
            let begin = Instant::now();
            bare::spawn();
            begin.elapsed()
        };
        let bare: Sample = (0..effort.calls).map(spawn).collect();
        bare.print("  the same fork and exec, bare");
    });
}

async fn start(effort: Effort, folder: &Path) -> Sample {
    let mut sample = Sample::default();
    for _ in 0..effort.calls.div_ceil(10) {
        let begin = Instant::now();
        drop(connect("fs", folder).await);
        sample.since(begin);
    }
    sample
}

pub(crate) async fn connect(name: &str, folder: &Path) -> ToolServer {
    let process = ChildCommand {
        name: name.to_owned(),
        program: PULLWRIGHT.into(),
        args: ["tool-host", "serve", name].map(Into::into).to_vec(),
        env: BTreeMap::from([("PATH".into(), std::env::var_os("PATH").unwrap())]),
        cwd: Some(folder.to_owned()),
    };
    let process = process.spawn().unwrap();
    connect_over(
        name,
        ToolIo::bytes(process.stdout, process.stdin, process.guard),
    )
    .await
}

pub(crate) async fn connect_over(name: &str, io: ToolIo) -> ToolServer {
    let connector = Arc::new(OpenOnce::new(io));
    let server = ToolServer::connect(options(name), connector, Arc::new(ApproveAll)).await;
    server.unwrap()
}

pub(crate) fn options(name: &str) -> ToolServerOptions {
    ToolServerOptions {
        name: name.to_owned(),
        builtin: true,
        short_names: true,
        startup_timeout: TIMEOUT,
        tool_timeout: TIMEOUT,
        enabled_tools: None,
        disabled_tools: Vec::new(),
        required: true,
    }
}

fn edit(number: usize) -> Value {
    let (old, new) = match number % 2 {
        0 => ("line 250\n", "LINE 250\n"),
        _ => ("LINE 250\n", "line 250\n"),
    };
    json!({"path": "a.txt", "old_str": old, "new_str": new})
}

pub(crate) async fn calls(
    server: &ToolServer,
    tool: &str,
    effort: Effort,
    arguments: impl Fn(usize) -> Value,
) -> Sample {
    let mut sample = Sample::default();
    for number in 0..effort.calls {
        let Value::Object(arguments) = arguments(number) else {
            unreachable!("arguments are an object")
        };
        let begin = Instant::now();
        call(server, tool, arguments).await;
        sample.since(begin);
    }
    sample
}

pub(crate) async fn call(server: &ToolServer, tool: &str, arguments: Map<String, Value>) {
    let (output, _pieces) = mpsc::channel(64);
    let cancel = CancellationToken::new();
    let answer = server
        .call(tool, arguments, Default::default(), &output, &cancel)
        .await;
    let answer = answer.unwrap();
    assert!(!answer.is_error, "{answer:?}");
}
