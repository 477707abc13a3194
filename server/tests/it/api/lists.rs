//! The list of runs, page by page.

use pullwright::access::Scope;
use reqwest::Response;
use serde_json::Value;

use super::secret_holder::{Holder, key};
use super::server::{Server, run_id, send};
use crate::support::in_time;

const RUN: &[Scope] = &[Scope::Run, Scope::Read];

/// A page's ids, what it says of the next one, and where its `Link` leads.
struct Page {
    ids: Vec<String>,
    next: Option<String>,
    link: Option<String>,
}

impl Page {
    async fn get(server: &Server, who: &Holder, path: &str) -> Self {
        let response = send(who.sends(server.get(path))).await;
        assert_eq!(response.status(), 200, "{path}");
        let link = next_link(&response);
        let text = in_time(response.text()).await.expect("a body");
        let page: Value = serde_json::from_str(&text).expect("JSON");
        let runs = page["runs"].as_array().expect("runs").iter();
        Self {
            ids: runs
                .map(|run| run["id"].as_str().expect("an id").to_owned())
                .collect(),
            next: page["next"].as_str().map(str::to_owned),
            link,
        }
    }
}

fn next_link(response: &Response) -> Option<String> {
    let link = response.headers().get("link")?.to_str().expect("text");
    let path = link.strip_prefix('<').expect("an address");
    let path = path.strip_suffix(">; rel=\"next\"");
    Some(path.expect("the next one").to_owned())
}

async fn run(server: &Server, who: &Holder, prompt: &str) -> String {
    let run = run_id(&send(who.sends(server.code(prompt))).await);
    if prompt != "wait" {
        server.until_ended(&run).await;
    }
    run.0
}

#[tokio::test]
async fn pages_lead_through_all_runs_of_a_key() {
    let server = Server::start().await;
    let ann = key(&*server.keys, "ann", RUN).await;
    let bob = key(&*server.keys, "bob", RUN).await;
    let admin = key(&*server.keys, "admin", &[Scope::Admin]).await;
    let (mut anns, mut all) = (Vec::new(), Vec::new());
    for who in [&ann, &bob, &ann, &bob, &ann] {
        let id = run(&server, who, "hello").await;
        if std::ptr::eq(who, &ann) {
            anns.insert(0, id.clone());
        }
        all.insert(0, id);
    }
    for (who, expected) in [(&ann, anns), (&admin, all)] {
        let mut path = "/v1/runs?outcome=patch+only&limit=2".to_owned();
        let mut seen = Vec::new();
        loop {
            let page = Page::get(&server, who, &path).await;
            seen.extend(page.ids);
            run(&server, &bob, "wait").await;
            let Some(next) = page.next else {
                assert_eq!(page.link, None);
                break;
            };
            path = page.link.expect("a link");
            let said = format!("/v1/runs?outcome=patch+only&limit=2&after={next}");
            assert_eq!(path, said, "the same question, and where to go on");
        }
        assert_eq!(seen, expected);
    }
}

#[tokio::test]
async fn a_full_last_page_is_known_to_be_the_last() {
    let server = Server::start().await;
    for _ in 0..2 {
        run(&server, &Holder::nobody(), "hello").await;
    }
    let page = Page::get(&server, &Holder::nobody(), "/v1/runs?limit=2").await;
    assert_eq!((page.ids.len(), page.next), (2, None));
}

#[tokio::test]
async fn runs_are_found_by_outcome_and_repository() {
    let server = Server::start().await;
    let nobody = Holder::nobody();
    let hello = run(&server, &nobody, "hello").await;
    let wait = run(&server, &nobody, "wait").await;
    let table: [(&str, &[&String]); 10] = [
        ("", &[&wait, &hello]),
        ("outcome=under+way", &[&wait]),
        ("outcome=patch%20only", &[&hello]),
        ("outcome=failed", &[]),
        ("outcome=failed(clone)", &[]),
        ("repository=github.com/owner/repo", &[&wait, &hello]),
        ("repository=https://github.com/owner/repo", &[&wait, &hello]),
        (
            "repository=https://github.com/owner/repo.git&outcome=under+way",
            &[&wait],
        ),
        ("repository=github.com/owner/other", &[]),
        ("repository=github.com/owner", &[]),
    ];
    for (query, expected) in table {
        let page = Page::get(&server, &nobody, &format!("/v1/runs?{query}")).await;
        assert_eq!(page.ids.iter().collect::<Vec<_>>(), expected, "{query}");
    }
    for (query, said) in [
        ("outcome=good", "`under way`"),
        ("outcome=", "`under way`"),
        ("repository=repo", "HOST/OWNER/NAME"),
        ("repository=a%00b/c/d", "HOST/OWNER/NAME"),
        ("after=x", "is no cursor"),
        ("after=", "is no cursor"),
        ("limit=101", "use 1 to 100"),
    ] {
        let response = send(server.get(&format!("/v1/runs?{query}"))).await;
        assert_eq!(response.status(), 400, "{query}");
        let told = in_time(response.text()).await.expect("a body");
        assert!(told.contains(said), "{query}: {told}");
    }
}
