//! The format in which a model changes files, by its row.

use super::foreign_tools::offered;
use super::lab::{GREET, Lab, Plan};

const PATCH: &str = r#"
[[replies]]
steps = [
  { tool_call = { name = "apply_patch", arguments = { input = """
*** Begin Patch
*** Update File: src/greeting.txt
@@
-hello
+hi
*** End Patch""" } } },
]
[[replies]]
expect = { results_are_errors = false, results_contain = ["updated `src/greeting.txt` at line 1"] }
steps = [{ text = "Greet shortly" }]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_row_may_choose_patches() {
    let row = "wire_api = \"scripted\"\nscript = \"script.toml\"\nedit_tool = \"apply_patch\"";
    let lab = Lab::start(Plan {
        script: PATCH,
        config: &format!("[providers.script]\n{row}\n"),
        ..Plan::default()
    })
    .await;
    let played = lab.run().await;
    played.ended("branch only");
    assert_eq!(lab.pushed_file("src/greeting.txt"), "hi\n");
    let offered = offered(&lab, &played).await;
    let has = |name: &str| offered.iter().any(|tool| tool == name);
    assert!(
        has("apply_patch") && has("write") && !has("edit"),
        "{offered:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn other_models_are_offered_edit() {
    let lab = Lab::start(Plan {
        script: GREET,
        ..Plan::default()
    })
    .await;
    let played = lab.run().await;
    let offered = offered(&lab, &played).await;
    let has = |name: &str| offered.iter().any(|tool| tool == name);
    assert!(has("edit") && !has("apply_patch"), "{offered:?}");
}
