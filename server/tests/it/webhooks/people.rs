//! Whom it listens to, and what it says where it cannot do something.

use serde_json::json;

use super::runs::{deliver, github, office, run_of, runs, until_recorded};
use super::sender::Delivery;
use crate::runs::lab::GREET;

/// What the model does when it is told more.
const TWICE: &str = r#"
[[replies]]
expect = { user_contains = ["@bob writes on pull request #1", "> @pullwright say it twice"] }
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hi", new_str = "hi hi" } } }]
[[replies]]
steps = [{ text = "Greet twice" }]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_write_is_not_answered() {
    let office = office(GREET, "").await;
    let repository = office.repository();
    for stranger in ["eve", "nobody-knows"] {
        let delivery = Delivery::labeled(&repository, 5, stranger);
        assert_eq!(deliver(&office, &delivery).await["status"], "accepted");
        until_recorded(&office, &format!("@{stranger} may not write")).await;
    }
    for (login, kind) in [("ci[bot]", "User"), ("ci", "Bot")] {
        let mut delivery = Delivery::labeled(&repository, 5, login);
        delivery.payload["sender"]["type"] = json!(kind);
        assert_eq!(
            deliver(&office, &delivery).await["status"],
            "ignored",
            "{login}"
        );
    }
    deliver(&office, &Delivery::labeled(&repository, 6, "ann")).await;
    github(&office).talk.until_said(6, "has proposed").await;
    assert_eq!(runs(&office).await.len(), 1);
    assert_eq!(github(&office).talk.comments(5), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_looks_like_a_call_starts_nothing() {
    let office = office(GREET, "").await;
    let repository = office.repository();
    let of = |text: &str| Delivery::commented(&repository, 5, "ann", text);
    let edited = |mut delivery: Delivery, action: &str| {
        delivery.payload["action"] = json!(action);
        delivery
    };
    let other_label = {
        let mut delivery = Delivery::labeled(&repository, 5, "ann");
        delivery.payload["label"]["name"] = json!("bug");
        delivery
    };
    let closed = {
        let mut delivery = Delivery::labeled(&repository, 5, "ann");
        delivery.payload["issue"]["state"] = json!("closed");
        delivery
    };
    for nothing in [
        of("no name"),
        of("> @pullwright do it"),
        of("`@pullwright do it`"),
        of("```\n@pullwright\n```"),
        of("<!-- pullwright:run 1 -->\n@pullwright"),
        edited(of("@pullwright do it"), "edited"),
        edited(of("@pullwright do it"), "deleted"),
        Delivery::reviewed(&repository, 1, "ann", "approved", "fine"),
        Delivery::reviewed(&repository, 1, "ann", "commented", "hm"),
        other_label,
        closed,
    ] {
        let said = deliver(&office, &nothing).await;
        assert_eq!(said["status"], "ignored", "{}: {said}", nothing.payload);
    }
    assert_eq!(runs(&office).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_is_not_listed_starts_nothing() {
    let office = office(GREET, "repositories = [\"github.com/acme/*\"]").await;
    deliver(&office, &Delivery::labeled(&office.repository(), 5, "ann")).await;
    until_recorded(&office, "may not work on").await;
    assert_eq!(runs(&office).await.len(), 0);
    assert_eq!(github(&office).talk.comments(5), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_to_somebody_s_pull_request_is_proposed_to_its_branch() {
    let office = office(&format!("{GREET}{TWICE}"), "").await;
    office.git(&["branch", "theirs", "main"]);
    let number = github(&office).propose("theirs", "owner/project");
    let said = "@pullwright greet shortly";
    let mention = Delivery::commented_on_pull(&office.repository(), number, "bob", said);
    deliver(&office, &mention).await;
    let told = github(&office)
        .talk
        .until_said(number, "has proposed its change in #2")
        .await;
    let pulls = github(&office).pulls();
    assert_eq!(pulls[1]["base"]["ref"], "theirs");
    assert_eq!(
        office.git(&["rev-parse", "theirs"]),
        office.git(&["rev-parse", "main"])
    );
    office.ends(&run_of(&told), "pull request").await;
    let said = "@pullwright say it twice";
    let mention = Delivery::commented_on_pull(&office.repository(), number, "bob", said);
    deliver(&office, &mention).await;
    github(&office).talk.until_said(number, "Greet twice").await;
    let runs = runs(&office).await;
    assert_eq!(runs[0]["request"]["follows"], runs[1]["id"], "{runs:#?}");
    assert_eq!(github(&office).pulls().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_review_that_calls_is_heard_on_somebody_s_pull_request() {
    let office = office(GREET, "").await;
    office.git(&["branch", "theirs", "main"]);
    let number = github(&office).propose("theirs", "owner/project");
    let said = "@pullwright greet shortly";
    let review = Delivery::reviewed(
        &office.repository(),
        number,
        "bob",
        "changes_requested",
        said,
    );
    deliver(&office, &review).await;
    github(&office)
        .talk
        .until_said(number, "has proposed its change in #2")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_closed_pull_request_it_says_that_it_cannot() {
    let office = office(GREET, "").await;
    let number = github(&office).propose("theirs", "owner/project");
    github(&office).merge();
    let mention = Delivery::commented_on_pull(&office.repository(), number, "bob", "@pullwright?");
    deliver(&office, &mention).await;
    github(&office)
        .talk
        .until_said(number, "it is closed")
        .await;
    assert_eq!(runs(&office).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_pull_request_from_a_fork_it_says_that_it_cannot() {
    let office = office(GREET, "").await;
    let number = github(&office).propose("theirs", "somebody/project");
    let mention = Delivery::commented_on_pull(&office.repository(), number, "bob", "@pullwright?");
    deliver(&office, &mention).await;
    let told = github(&office).talk.until_said(number, "in a fork").await;
    assert!(told.starts_with("<!-- pullwright:delivery "), "{told}");
    assert_eq!(runs(&office).await.len(), 0);
}
