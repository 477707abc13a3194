//! Models that go in circles.

use super::lab::{Played, play};

/// A reply that calls bash.
fn again(command: &str) -> String {
    format!(
        "[[replies]]\nsteps = [{{ tool_call = {{ name = \"bash\", arguments = {{ command = {command:?} }} }} }}]\n"
    )
}

fn circles(played: &Played) -> Vec<String> {
    let told = played.of("Status");
    let messages = told.iter().filter_map(|status| status["message"].as_str());
    let circles = messages.filter(|message| message.contains("in circles"));
    circles.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_goes_in_circles_is_told_and_can_go_on() {
    let script = format!(
        "{}[[replies]]\nexpect = {{ user_contains = [\"You are going in circles\"] }}\n\
         steps = [{{ text = \"I cannot do it\" }}]\n",
        again("cat missing").repeat(5)
    );
    let (_lab, played) = play(&script).await;
    played.ended("no changes");
    let told = circles(&played);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("the same calls ended the same way 5 times"),
        "{told:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_told_and_goes_on_ends_its_run_and_keeps_its_patch() {
    let script = again("echo more >> src/greeting.txt; cat missing").repeat(12);
    let (lab, played) = play(&script).await;
    played.ended("failed(stuck)");
    assert_eq!(played.of("Tool: Bash").len(), 10);
    assert_eq!(circles(&played).len(), 2);
    let done = played.frames.last().unwrap();
    let patch = lab.text(done["patchUrl"].as_str().unwrap()).await;
    assert!(patch.contains("+more"), "{patch}");
    let counted = lab.text("/metrics").await;
    assert!(
        counted.contains("pullwright_circles_total 2\n"),
        "{counted}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_waits_for_something_is_left_alone() {
    let script = format!(
        "{}[[replies]]\nsteps = [{{ text = \"Waited\" }}]\n",
        again("echo x >> $HOME/waits; wc -l < $HOME/waits").repeat(12)
    );
    let (_lab, played) = play(&script).await;
    played.ended("no changes");
    assert!(circles(&played).is_empty());
}
