//! What comes back to a change of ours: failed checks, and reviews.

use super::runs::{deliver, github, office, runs, until_recorded};
use super::sender::Delivery;

const NEXT: &str = r#"
[[replies]]
expect = { user_contains = ["Checks of the code host failed", "> the build", "> line 3 is wrong"] }
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hi", new_str = "hi hi" } } }]
[[replies]]
steps = [{ text = "Mend it" }]
"#;

const FIRST: &str = r#"
[[replies]]
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } }]
[[replies]]
steps = [{ text = "Greet shortly" }]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_check_is_repaired_so_often_and_no_more() {
    let office = office(&format!("{FIRST}{NEXT}"), "repair_attempts = 1").await;
    github(&office).talk.fail("the build", "line 3 is wrong");
    let repository = office.repository();
    deliver(&office, &Delivery::labeled(&repository, 5, "ann")).await;
    github(&office)
        .talk
        .until_said(5, "has proposed its change in #1")
        .await;
    let branch = office.branch();
    let foreign = office.git(&["rev-parse", "main"]);
    deliver(
        &office,
        &Delivery::failed(&repository, "check_suite", &foreign),
    )
    .await;
    let first = office.git(&["rev-parse", &branch]);
    for event in ["check_run", "check_suite", "workflow_run"] {
        deliver(&office, &Delivery::failed(&repository, event, &first)).await;
    }
    github(&office)
        .talk
        .until_said(1, "has proposed its change in #1")
        .await;
    assert_eq!(office.commits(&branch), ["Greet shortly", "Mend it"]);
    let second = office.git(&["rev-parse", &branch]);
    let before = github(&office).talk.comments(1).len();
    for event in ["check_suite", "check_run"] {
        deliver(&office, &Delivery::failed(&repository, event, &second)).await;
        let told = github(&office)
            .talk
            .until_said(1, "I leave it to people now")
            .await;
        assert!(told.contains("tried once"), "{told}");
    }
    deliver(&office, &Delivery::labeled(&repository, 6, "eve")).await;
    until_recorded(&office, "@eve may not write").await;
    assert_eq!(
        github(&office).talk.comments(1).len(),
        before + 1,
        "once for a commit"
    );
    let runs = runs(&office).await;
    assert_eq!(runs.len(), 2, "{runs:#?}");
    assert_eq!(runs[0]["request"]["origin"]["repair"], 1);
    assert_eq!(github(&office).pulls().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_review_that_asks_for_changes_is_heard_on_its_own_pull_request_only() {
    let heard = NEXT.replace(
        "\"Checks of the code host failed\", \"> the build\", \"> line 3 is wrong\"",
        "\"@bob has reviewed pull request #1\", \"say it twice\"",
    );
    let office = office(&format!("{FIRST}{heard}"), "").await;
    let repository = office.repository();
    deliver(&office, &Delivery::labeled(&repository, 5, "ann")).await;
    github(&office)
        .talk
        .until_said(5, "has proposed its change in #1")
        .await;
    let theirs = github(&office).propose("main", "owner/project");
    for (number, said) in [(theirs, "say it twice"), (1, "@pullwright say it twice")] {
        let review = Delivery::reviewed(&repository, number, "bob", "changes_requested", said);
        assert_eq!(deliver(&office, &review).await["status"], "accepted");
    }
    github(&office)
        .talk
        .until_said(1, "has proposed its change in #1")
        .await;
    assert_eq!(
        office.commits(&office.branch()),
        ["Greet shortly", "Mend it"]
    );
    assert_eq!(runs(&office).await.len(), 2);
}
