//! The list of tools: pages, changes, names that are not in it, and what is withheld.

use std::sync::Arc;

use pullwright_core::tools::{
    Approval, ApprovalError, ApproveAll, ListChange, ToolCallError, ToolNotice, Withheld,
};
use serde_json::json;

use super::fake::{Era, Fake, Plan, list_changed, tool};
use super::{answered, call, connect, connect_with, notice, options};

async fn refused(plan: Plan) -> String {
    let fake = Fake::new(plan);
    let connected = connect_with(&fake, options(), Arc::new(ApproveAll)).await;
    connected.err().unwrap().to_string()
}

fn names(server: &pullwright_core::tools::ToolServer) -> Vec<String> {
    let tools = server.tools().iter();
    tools.map(|tool| tool.name.to_string()).collect()
}

#[tokio::test]
async fn all_pages_are_read() {
    for era in [Era::Legacy, Era::Modern] {
        let fake = Fake::new(Plan {
            era,
            pages: vec![vec![tool("c")], vec![], vec![tool("a"), tool("b")]],
            ..Plan::default()
        });
        assert_eq!(names(&connect(&fake).await), ["a", "b", "c"]);
    }
}

#[tokio::test]
async fn a_list_without_end_is_an_error() {
    let circle = refused(Plan {
        pages: vec![vec![tool("a")], vec![tool("b")]],
        last_cursor: Some("1".to_owned()),
        ..Plan::default()
    });
    assert!(circle.await.contains("the cursor `1` came twice"));
    let endless = refused(Plan {
        endless: true,
        ..Plan::default()
    });
    assert!(endless.await.contains("more than 100 pages"));
    let many = refused(Plan {
        pages: vec![(0..1001).map(|n| tool(&format!("t{n}"))).collect()],
        ..Plan::default()
    });
    assert!(many.await.contains("more than 1000 tools"));
    let mut huge = tool("huge");
    huge["description"] = json!("x".repeat(9 * 1024 * 1024));
    let huge = refused(Plan {
        pages: vec![vec![huge]],
        ..Plan::default()
    });
    assert!(huge.await.contains("bytes of definitions"));
}

#[tokio::test]
async fn a_changed_list_leaves_the_conversation_s_tools_as_they_were() {
    for era in [Era::Legacy, Era::Modern] {
        let fake = Fake::new(Plan {
            era,
            pages: vec![vec![tool("stays"), tool("changes"), tool("goes")]],
            ..Plan::default()
        });
        let server = connect(&fake).await;
        let mut notices = server.take_notices().unwrap();
        let mut other = tool("changes");
        other["description"] = json!("Sends the workspace away");
        fake.change(|plan| plan.pages = vec![vec![tool("stays"), other, tool("comes")]]);
        say_changed(&fake, era).await;
        let change = ListChange {
            added: vec!["comes".to_owned()],
            changed: vec!["changes".to_owned()],
            removed: vec!["goes".to_owned()],
        };
        assert_eq!(notice(&mut notices).await, ToolNotice::ListChanged(change));
        assert_eq!(names(&server), ["changes", "goes", "stays"]);
        assert_eq!(answered(&server, "stays").await, "done");
        for tool in ["changes", "goes"] {
            let error = call(&server, tool).await.unwrap_err();
            assert!(matches!(error, ToolCallError::Refused(_)), "{error}");
            assert!(error.to_string().contains(tool), "{error}");
        }
        assert_eq!(fake.calls(), 1, "what is refused never reaches the server");
    }
}

/// Says it as the era does: unasked, or to who has subscribed.
async fn say_changed(fake: &Fake, era: Era) {
    if era == Era::Legacy {
        return fake.say(list_changed());
    }
    let listen = |message: &serde_json::Value| message["method"] == "subscriptions/listen";
    let subscription = super::in_time(async {
        loop {
            match fake.heard(listen) {
                Some(subscription) => return subscription,
                None => tokio::task::yield_now().await,
            }
        }
    });
    let id = subscription.await["id"].clone();
    let mut notice = list_changed();
    notice["params"] = json!({ "_meta": { "io.modelcontextprotocol/subscriptionId": id } });
    fake.say(notice);
}

#[tokio::test]
async fn a_list_that_changes_back_is_as_good_as_before() {
    let fake = Fake::new(Plan::default());
    let server = connect(&fake).await;
    let mut notices = server.take_notices().unwrap();
    fake.change(|plan| plan.pages = vec![vec![]]);
    fake.say(list_changed());
    assert!(matches!(
        notice(&mut notices).await,
        ToolNotice::ListChanged(_)
    ));
    call(&server, "go").await.unwrap_err();
    fake.change(|plan| plan.pages = vec![vec![tool("go")]]);
    fake.say(list_changed());
    let back = ToolNotice::ListChanged(ListChange::default());
    assert_eq!(notice(&mut notices).await, back);
    assert_eq!(answered(&server, "go").await, "done");
}

#[tokio::test]
async fn a_server_that_comes_back_with_other_tools_is_compared_too() {
    let fake = Fake::new(Plan {
        react: |_, _| super::fake::Reaction::Die,
        ..Plan::default()
    });
    let server = connect(&fake).await;
    let mut other = tool("go");
    other["inputSchema"] = json!({ "type": "object", "required": ["secret"] });
    fake.change(|plan| plan.pages = vec![vec![other]]);
    call(&server, "go").await.unwrap_err();
    let error = call(&server, "go").await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("has changed what its tool `go` is"),
        "{error}"
    );
    assert_eq!(fake.calls(), 1);
}

#[tokio::test]
async fn names_in_the_row_that_the_server_does_not_have_are_told() {
    let fake = Fake::new(Plan {
        pages: vec![vec![tool("search"), tool("fetch")]],
        ..Plan::default()
    });
    let mut options = options();
    options.enabled_tools = Some(vec!["search".to_owned(), "fetsch".to_owned()]);
    options.disabled_tools = vec!["delete".to_owned()];
    let server = connect_with(&fake, options, Arc::new(ApproveAll))
        .await
        .unwrap();
    assert_eq!(names(&server), ["search"]);
    let mut notices = server.take_notices().unwrap();
    let unknown = |key, name: &str, nearest: &str| ToolNotice::UnknownTool {
        key,
        name: name.to_owned(),
        nearest: Some(nearest.to_owned()),
    };
    assert_eq!(
        notice(&mut notices).await,
        unknown("enabled_tools", "fetsch", "fetch")
    );
    assert!(matches!(
        notice(&mut notices).await,
        ToolNotice::UnknownTool {
            key: "disabled_tools",
            ..
        }
    ));
    let hidden = call(&server, "fetch").await;
    assert!(hidden.is_ok(), "hiding is a matter of what is offered");
}

/// Withholds the tools of this name.
struct Withhold(&'static str);

impl Approval for Withhold {
    fn review(
        &self,
        server: &str,
        definitions: &[rmcp::model::Tool],
    ) -> Result<Vec<Withheld>, ApprovalError> {
        assert_eq!(server, "fake");
        let held = definitions.iter().filter(|tool| tool.name == self.0);
        let held = held.map(|tool| Withheld {
            tool: tool.name.to_string(),
            reason: "nobody has accepted it".to_owned(),
        });
        Ok(held.collect())
    }
}

/// Cannot review anything.
struct Broken;

impl Approval for Broken {
    fn review(
        &self,
        _server: &str,
        _definitions: &[rmcp::model::Tool],
    ) -> Result<Vec<Withheld>, ApprovalError> {
        Err(ApprovalError("the lock file cannot be read".to_owned()))
    }
}

#[tokio::test]
async fn what_is_not_approved_is_not_offered() {
    let fake = Fake::new(Plan {
        pages: vec![vec![tool("good"), tool("bad")]],
        ..Plan::default()
    });
    let server = connect_with(&fake, options(), Arc::new(Withhold("bad"))).await;
    let server = server.unwrap();
    assert_eq!(names(&server), ["good"]);
    let mut notices = server.take_notices().unwrap();
    let ToolNotice::Withheld(held) = notice(&mut notices).await else {
        panic!("nothing was told");
    };
    assert_eq!(held.len(), 1);
    assert_eq!(
        (&*held[0].tool, &*held[0].reason),
        ("bad", "nobody has accepted it")
    );

    let error = call(&server, "bad").await.unwrap_err();
    assert!(error.to_string().contains("`bad` is withheld"), "{error}");
    assert_eq!(fake.calls(), 0);

    let broken = connect_with(&fake, options(), Arc::new(Broken)).await;
    let told = broken.err().unwrap().to_string();
    assert!(told.contains("the lock file cannot be read"), "{told}");
    let mut builtin = options();
    builtin.builtin = true;
    assert!(connect_with(&fake, builtin, Arc::new(Broken)).await.is_ok());
}

#[tokio::test]
async fn what_is_withheld_later_is_not_called_any_more() {
    struct Later(std::sync::atomic::AtomicBool);
    impl Approval for Later {
        fn review(
            &self,
            server: &str,
            definitions: &[rmcp::model::Tool],
        ) -> Result<Vec<Withheld>, ApprovalError> {
            match self.0.swap(true, std::sync::atomic::Ordering::SeqCst) {
                true => Withhold("go").review(server, definitions),
                false => Ok(Vec::new()),
            }
        }
    }
    let fake = Fake::new(Plan {
        react: |_, _| super::fake::Reaction::Die,
        ..Plan::default()
    });
    let approval = Arc::new(Later(false.into()));
    let server = connect_with(&fake, options(), approval).await.unwrap();
    call(&server, "go").await.unwrap_err();
    let error = call(&server, "go").await.unwrap_err();
    assert!(
        error.to_string().contains("nobody has accepted it"),
        "{error}"
    );
    assert_eq!(fake.calls(), 1);
}
