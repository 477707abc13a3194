//! Deliveries that did not arrive are asked for again, as the App itself.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::IntoResponse;
use chrono::{DateTime, Utc};
use pullwright_github::{Asked, MissedDeliveries};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{as_app, keys};
use crate::client::config;

/// An attempt, which the fault matrix holds against GitHub's description.
const DELIVERY: &str = include_str!("delivery.json");

const HOUR: Duration = Duration::from_secs(3600);

/// An App's list of deliveries.
struct Hook {
    url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// The newest first.
    attempts: Vec<Value>,
    /// How many of them are on a page.
    page: usize,
    /// What was asked for again.
    again: Vec<u64>,
    /// How requests for an attempt are answered.
    status: Option<u16>,
}

impl Hook {
    async fn start(attempts: Vec<Value>) -> Self {
        Self::with_pages_of(2, attempts).await
    }

    async fn with_pages_of(page: usize, attempts: Vec<Value>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State {
            attempts,
            page,
            ..State::default()
        }));
        let (shared, base) = (Arc::clone(&state), url.clone());
        let answer = move |method: Method, uri: Uri, headers: HeaderMap| {
            let mut state = shared.lock().unwrap();
            let (status, link, body) = state.answer(&base, &method, &uri, &headers);
            let status = StatusCode::from_u16(status).unwrap();
            let link = link.map(|link| ("link", link));
            let answer = (status, body.to_string());
            async move {
                match link {
                    Some(link) => ([link], answer).into_response(),
                    None => answer.into_response(),
                }
            }
        };
        let router = Router::new().fallback(answer);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, state }
    }

    fn again(&self) -> Vec<u64> {
        self.state.lock().unwrap().again.clone()
    }

    fn answers_with(&self, status: Option<u16>) {
        self.state.lock().unwrap().status = status;
    }

    fn missed(&self) -> MissedDeliveries {
        let missed = MissedDeliveries::of(&as_app(&self.url, &keys::ours()));
        missed.unwrap().expect("it is an App")
    }
}

impl State {
    fn answer(
        &mut self,
        base: &str,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> (u16, Option<String>, Value) {
        // A token of an installation may not ask this, a proof may.
        let proof = headers["authorization"].to_str().unwrap();
        assert!(proof.starts_with("Bearer ey"), "{proof}");
        if *method == Method::GET {
            assert_eq!(uri.path(), "/app/hook/deliveries");
            let query = uri.query().unwrap();
            assert!(query.contains("per_page=100"), "{query}");
            let at = query.split("cursor=v1_").nth(1);
            let at: usize = at.map_or(0, |at| at.parse().unwrap());
            let next = at + self.page;
            let page: Vec<Value> = self.attempts[at..]
                .iter()
                .take(self.page)
                .cloned()
                .collect();
            let link = (next < self.attempts.len()).then(|| {
                format!("<{base}/app/hook/deliveries?per_page=100&cursor=v1_{next}>; rel=\"next\"")
            });
            return (200, link, Value::Array(page));
        }
        let id = uri.path().strip_prefix("/app/hook/deliveries/").unwrap();
        let id = id.strip_suffix("/attempts").unwrap().parse().unwrap();
        self.again.push(id);
        let status = self.status.unwrap_or(202);
        (status, None, json!({}))
    }
}

/// An attempt so many minutes ago, as GitHub lists it.
fn attempt(id: u64, minutes: u64, redelivery: bool, status_code: u16) -> Value {
    let ago = SystemTime::now() - Duration::from_secs(60 * minutes);
    let mut attempt: Value = serde_json::from_str(DELIVERY).unwrap();
    attempt["id"] = json!(id);
    attempt["guid"] = json!(format!("guid-{}", id % 100));
    attempt["delivered_at"] = json!(DateTime::<Utc>::from(ago));
    attempt["redelivery"] = json!(redelivery);
    attempt["status_code"] = json!(status_code);
    attempt
}

fn an_hour_ago() -> SystemTime {
    SystemTime::now() - HOUR
}

#[tokio::test]
async fn each_that_did_not_arrive_is_asked_for_once() {
    let hook = Hook::start(vec![
        attempt(107, 1, true, 202),
        attempt(6, 2, false, 502),
        attempt(5, 3, false, 202),
        attempt(4, 4, false, 401),
        attempt(7, 5, false, 504),
        attempt(3, 6, false, 0),
        attempt(2, 50, false, 503),
        attempt(1, 90, false, 502),
        attempt(9, 95, false, 502),
    ])
    .await;
    let missed = hook.missed();
    let mut asked = BTreeSet::new();
    let first = missed.ask_again(an_hour_ago(), &mut asked).await.unwrap();
    assert_eq!((first.count, first.is_all), (3, true));
    assert_eq!(hook.again(), [2, 3, 6]);
    // GitHub has not tried yet, so its list is as it was.
    let second = missed.ask_again(an_hour_ago(), &mut asked).await.unwrap();
    assert_eq!(second.count, 0);
    assert_eq!(hook.again().len(), 3);
}

#[tokio::test]
async fn one_that_github_does_not_have_any_more_is_let_go() {
    let hook = Hook::start(vec![attempt(2, 1, false, 502), attempt(1, 2, false, 502)]).await;
    hook.answers_with(Some(404));
    let missed = hook.missed();
    let mut asked = BTreeSet::new();
    for expected in [2, 2] {
        let came = missed.ask_again(an_hour_ago(), &mut asked).await.unwrap();
        assert_eq!(
            came,
            Asked {
                count: 0,
                is_all: true,
                reaches_back: true,
            }
        );
        assert_eq!(hook.again().len(), expected);
    }
}

/// What may have been done is not done twice, and what was not is left for the next look.
#[tokio::test]
async fn a_github_that_is_out_of_order_is_asked_again_for_what_it_did_not_do() {
    let hook = Hook::start(vec![attempt(2, 1, false, 502), attempt(1, 2, false, 502)]).await;
    let missed = hook.missed();
    let mut asked = BTreeSet::new();
    hook.answers_with(Some(502));
    let came = missed.ask_again(an_hour_ago(), &mut asked).await.unwrap();
    assert_eq!((came.count, hook.again()), (2, vec![1, 2]));
    hook.answers_with(Some(429));
    let mut none = BTreeSet::new();
    let refused = missed.ask_again(an_hour_ago(), &mut none).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("the GitHub App 4711"), "{refused}");
    assert!(none.is_empty(), "{none:?}");
}

/// So many that were missed, two in each minute, the newest first.
fn missed_lately(count: u64) -> Vec<Value> {
    let missed = (1..=count).map(|id| attempt(id, id / 2, false, 502));
    missed.collect()
}

/// What was asked for, in the order of the ids.
fn sorted(mut ids: Vec<u64>) -> Vec<u64> {
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn there_is_an_end_to_what_is_asked_for_in_one_look() {
    let hook = Hook::with_pages_of(10, missed_lately(60)).await;
    let missed = hook.missed();
    let mut asked = BTreeSet::new();
    let mut looks = Vec::new();
    for _ in 0..3 {
        let came = missed.ask_again(an_hour_ago(), &mut asked).await.unwrap();
        assert!(came.reaches_back);
        looks.push((came.count, came.is_all));
    }
    assert_eq!(looks, [(50, false), (10, true), (0, true)]);
    assert_eq!(sorted(hook.again()), (1..=60).collect::<Vec<u64>>());
}

/// Ten pages are read in a look.
#[tokio::test]
async fn what_is_further_down_than_is_read_is_told() {
    for (count, reaches_back) in [(21, false), (20, true)] {
        let hook = Hook::start(missed_lately(count)).await;
        let mut asked = BTreeSet::new();
        let came = hook.missed().ask_again(an_hour_ago(), &mut asked).await;
        let expected = Asked {
            count: 20,
            is_all: true,
            reaches_back,
        };
        assert_eq!(came.unwrap(), expected, "{count}");
        assert_eq!(sorted(hook.again()), (1..=20).collect::<Vec<u64>>());
    }
}

#[tokio::test]
async fn a_list_that_goes_on_before_the_time_in_question_is_read_far_enough() {
    // Of the last two that are read, one was tried after this and one before.
    let since = SystemTime::now() - Duration::from_secs(19 * 60 + 30);
    let attempts = (1..=60).map(|id| attempt(id, id, false, 502)).collect();
    let hook = Hook::start(attempts).await;
    let mut asked = BTreeSet::new();
    let came = hook.missed().ask_again(since, &mut asked).await.unwrap();
    assert_eq!((came.count, came.reaches_back), (19, true));
}

#[tokio::test]
async fn who_is_no_app_has_no_list() {
    let found = MissedDeliveries::of(&config("http://127.0.0.1:9")).unwrap();
    assert!(found.is_none());
}
