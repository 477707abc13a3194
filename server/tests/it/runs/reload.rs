//! A changed `plugins.toml`, taken in while the server runs.

use std::path::{Path, PathBuf};

use super::lab::{GREET, Lab, PROGRAM, Plan, Played, write_config};
use crate::support::in_time;
use pullwright_protocol::Event;

/// Waits in its one command for a file to appear.
const WAIT: &str = r#"
[[replies]]
steps = [{ tool_call = { name = "bash", arguments = { command = "until [ -e go ]; do sleep 0.05; done" } } }]
[[replies]]
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } }]
[[replies]]
steps = [{ text = "Greet shortly" }]
"#;

/// The tools of a folder on the host.
fn far(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "[tools.far]\ncommand = \"{PROGRAM}\"\nargs = [\"tool-host\", \"fs\", \"--root\", \"{folder}\"]\n\
         runs = \"host\"\nrequired = true\n"
    )
}

fn file(lab: &Lab) -> PathBuf {
    lab.path.join("plugins.toml")
}

/// The names of the tools that the run offered.
async fn tools(lab: &Lab, played: &Played) -> Vec<String> {
    let events = lab.events(&played.id).await;
    let started = events.into_iter().find_map(|logged| match logged.event {
        Event::ConversationStarted { tools, .. } => Some(tools),
        _ => None,
    });
    let tools = started.expect("a conversation");
    tools.into_iter().map(|tool| tool.name).collect()
}

/// Plays runs until one is as wanted.
async fn until<T>(lab: &Lab, wanted: impl AsyncFn(&Lab, &Played) -> Option<T>) -> T {
    in_time(async {
        loop {
            let played = lab.run().await;
            if let Some(found) = wanted(lab, &played).await {
                return found;
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_added_is_there_for_the_next_run_and_not_for_this_one() {
    let folder = tempfile::tempdir().unwrap();
    let lab = Lab::start(Plan {
        script: WAIT,
        ..Plan::default()
    })
    .await;
    let (run, stream) = lab.begin().await;
    lab.until(&run, |event| matches!(event, Event::ToolStarted { .. }))
        .await;
    write_config(&lab.path, &far(folder.path()), &lab.host());
    std::fs::write(lab.path.join("script.toml"), GREET).unwrap();
    until(&lab, async |lab, played| {
        played.ended("branch only");
        tools(lab, played)
            .await
            .contains(&"far__read".to_owned())
            .then_some(())
    })
    .await;
    lab.cancel(&run).await;
    let under_way = super::lab::read(stream).await;
    assert!(
        !tools(&lab, &under_way)
            .await
            .contains(&"far__read".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_is_told_and_the_one_before_stays() {
    let lab = Lab::start(Plan {
        script: GREET,
        ..Plan::default()
    })
    .await;
    let good = std::fs::read_to_string(file(&lab)).unwrap();
    std::fs::write(file(&lab), format!("{good}\n[toolz]\n")).unwrap();
    let warning = until(&lab, async |_, played| {
        played.ended("branch only");
        played.of("Status").into_iter().find_map(|status| {
            let message = status["message"].as_str()?;
            message
                .starts_with("WARNING: the changed configuration")
                .then(|| message.to_owned())
        })
    })
    .await;
    assert!(
        warning.contains("toolz") && warning.contains("tools"),
        "{warning}"
    );
    std::fs::remove_file(file(&lab)).unwrap();
    lab.run().await.ended("branch only");
    std::fs::write(file(&lab), good).unwrap();
    until(&lab, async |_, played| {
        played.ended("branch only");
        (!played.text.contains("the changed configuration")).then_some(())
    })
    .await;
}
