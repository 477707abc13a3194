//! A server that is killed amid a run, at each of its events: the next one goes on, and the change is the
//! one that would have been made anyway.

mod ground;
mod model;

use std::time::Duration;

use futures_util::StreamExt;
use pullwright_modal_double::{Double, TOKEN_ID, TOKEN_SECRET};
use pullwright_protocol::{Event, LoggedEvent, Outcome, RunUsage};
use serde_json::json;

use crate::modal;
use crate::peers::process::Peers;
use crate::runs::project::File;
use crate::store::postgres::{self, Server as Postgres};
use ground::{Ground, Server, Setting};
use model::Turn;

/// How many runs are under way at the same time.
const SIDE_BY_SIDE: usize = 4;

const FILES: &[File<'static>] = &[
    ("README.md", "# Sample\n"),
    ("src/greeting.txt", "hello\n"),
    ("check.sh", "[ \"$(wc -l < src/greeting.txt)\" -eq 1 ]\n"),
];

const CHECKS: &str = "[checks]\nrun = [\"sh check.sh\"]\n";

/// What the model does: two changes, one of which breaks a check and is mended.
fn turns() -> Vec<Turn> {
    let turn = |text, calls| Turn { text, calls };
    let bash = |command: &str| ("bash", json!({ "command": command }));
    let edit = |old: &str, new: &str| {
        let edit = json!({ "path": "src/greeting.txt", "old_str": old, "new_str": new });
        ("edit", edit)
    };
    let read = |path: &str| ("read", json!({ "path": path }));
    vec![
        turn(
            "I look at what is there. ",
            vec![read("README.md"), read("src/greeting.txt")],
        ),
        turn(
            "",
            vec![
                bash("printf 'one\\n' > one.txt; echo written"),
                edit("hello", "hi\nthere"),
            ],
        ),
        turn("The greeting is shorter. ", vec![]),
        turn(
            "It must be one line. ",
            vec![bash("printf 'hi\\n' > src/greeting.txt")],
        ),
        turn("Greet shortly\n\nThe greeting is one short word.", vec![]),
    ]
}

/// What the model does when it is told more of a run that has ended.
fn more_turns() -> Vec<Turn> {
    let turn = |text, calls| Turn { text, calls };
    let write = json!({ "command": "printf 'hi there\\n' > src/greeting.txt" });
    vec![
        turn("It can be longer. ", vec![("bash", write)]),
        turn("Greet at length\n\nAs asked.", vec![]),
    ]
}

/// Where runs take place, and how their servers die.
#[derive(Clone, Default)]
struct Matrix<'a> {
    sections: String,
    variables: Vec<(String, String)>,
    peers: Option<&'a Peers>,
    /// Where each run gets a database, if in one.
    postgres: Option<&'a Postgres>,
    death: Death,
    /// Whether each log is played again: whatever its owners had begun and did anew, it is one conversation.
    is_replayed: bool,
    /// Whether the run follows one that has ended.
    follows: bool,
    /// Whether the base branch moves while the model is at work.
    moves: bool,
    /// At every how many events a server is killed.
    step: usize,
}

/// What becomes of a server, and who goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Death {
    /// It is killed, and started again.
    #[default]
    Killed,
    /// It is killed, and another one goes on, with another folder.
    Replaced,
    /// It is cut off, another one goes on, and it comes back.
    CutOff,
    /// It is told to stop, and started again.
    Stopped,
}

/// What a run came to.
struct Played {
    events: Vec<LoggedEvent>,
    tree: String,
    /// The files of the tree.
    files: String,
    asked: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_survives_its_server_at_every_event() {
    let matrix = Matrix {
        is_replayed: true,
        step: 1,
        ..Matrix::default()
    };
    matrix.holds(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_follows_another_survives_its_server() {
    let matrix = Matrix {
        follows: true,
        step: 2,
        ..Matrix::default()
    };
    matrix.holds(1).await;
}

/// What was about to be pushed is pushed, although the branch may have moved again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_base_moves_survives_its_server() {
    let matrix = Matrix {
        moves: true,
        is_replayed: true,
        step: 2,
        ..Matrix::default()
    };
    matrix.holds(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_does_so_on_postgres() {
    let Some(server) = postgres::server("runs that survive their server") else {
        return;
    };
    let matrix = Matrix {
        postgres: Some(server),
        step: 1,
        ..Matrix::default()
    };
    matrix.holds(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_pull_request_is_opened_once() {
    let Some(peers) = Peers::find("one pull request of a run whose server dies") else {
        return;
    };
    let matrix = Matrix {
        peers: Some(&peers),
        step: 3,
        ..Matrix::default()
    };
    matrix.holds(1).await;
}

/// The sandbox died with its server, so its last changes may have to be made again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_server_goes_on_with_the_work_that_was_kept() {
    let Some(server) = postgres::server("runs that go on at another server") else {
        return;
    };
    let matrix = Matrix {
        postgres: Some(server),
        death: Death::Replaced,
        is_replayed: true,
        step: 2,
        ..Matrix::default()
    };
    matrix.holds(turns().len() + 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_cut_off_does_no_harm_when_it_is_back() {
    let Some(server) = postgres::server("servers that were cut off") else {
        return;
    };
    let matrix = Matrix {
        postgres: Some(server),
        death: Death::CutOff,
        step: 5,
        ..Matrix::default()
    };
    matrix.holds(turns().len() + 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_hands_its_run_over() {
    let matrix = Matrix {
        death: Death::Stopped,
        step: 3,
        ..Matrix::default()
    };
    matrix.holds(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sandbox_at_modal_is_gone_on_with() {
    let double = modal::double(Duration::from_secs(1200)).await;
    let folder = tempfile::tempdir().unwrap();
    let tool_host = modal::tool_host(folder.path());
    let matrix = Matrix {
        sections: format!(
            "[sandbox]\nkind = \"modal\"\n[sandbox.modal]\ndockerfile = []\ntool_host = {tool_host:?}\n"
        ),
        variables: variables(&double),
        step: 4,
        ..Matrix::default()
    };
    matrix.holds(1).await;
    assert_eq!(double.sandboxes(), 0);
}

impl Matrix<'_> {
    /// A run comes to the same wherever its server is killed, with at most `more` model calls.
    async fn holds(&self, more: usize) {
        let whole = self.play(None).await;
        let last = whole.events.len();
        assert!(last > 20, "{last} events");
        let kills = futures_util::stream::iter((1..last).step_by(self.step));
        let played = kills.map(async |seq| {
            let played = self.play(Some(seq as u64)).await;
            let files = (&played.files, &whole.files);
            assert_eq!(played.tree, whole.tree, "killed at {seq}: {files:?}");
            let asked = played.asked - whole.asked;
            assert!(asked <= more, "killed at event {seq}: {asked} calls more");
            is_resumed(&played)
        });
        let resumed: Vec<bool> = played.buffer_unordered(SIDE_BY_SIDE).collect().await;
        let count = resumed.iter().filter(|resumed| **resumed).count();
        let least = match self.death {
            // Who is told to stop may bring a run to its end.
            Death::Stopped => 3,
            // A few come too late, and find that the run has ended.
            _ => 8,
        };
        assert!(
            count * 10 >= resumed.len() * least,
            "{count} of {resumed:?}"
        );
    }

    /// A run whose server is killed at an event, if at all.
    async fn play(&self, killed_at: Option<u64>) -> Played {
        let mut variables = self.variables.clone();
        if let Some(postgres) = self.postgres {
            variables.push(("DATABASE_URL".to_owned(), postgres.database().await));
        }
        let setting = Setting {
            files: FILES,
            turns: turns().into_iter().chain(more_turns()).collect(),
            sections: format!("{CHECKS}{}", self.sections),
            variables,
            peers: self.peers,
        };
        let ground = Ground::new(setting).await;
        let server = ground.serve("data").await;
        let mut run = ground.start(&server).await;
        if self.follows {
            ground
                .follow(&server, &run, &mut Vec::new(), |_| false)
                .await;
            run = ground.say(&server, &run).await;
        }
        let mut events = Vec::new();
        let mut data = "data";
        if self.moves {
            let is_fetched =
                |logged: &LoggedEvent| matches!(logged.event, Event::RepositoryFetched { .. });
            ground.follow(&server, &run, &mut events, is_fetched).await;
            ground.move_main();
        }
        if let Some(seq) = killed_at {
            let reached = |logged: &LoggedEvent| logged.seq >= seq;
            ground.follow(&server, &run, &mut events, reached).await;
            data = self.go_on(&ground, server, &run, &mut events).await;
        } else {
            ground.follow(&server, &run, &mut events, |_| false).await;
        }
        let outcome = match self.peers {
            Some(_) => Outcome::PullRequest,
            None => Outcome::BranchOnly,
        };
        is_whole(&events, outcome, killed_at);
        assert_eq!(ground.left(data), [""; 0], "killed at {killed_at:?}");
        if self.is_replayed {
            let said = ground.replay(data, &run).await;
            assert!(
                said.starts_with("identical: "),
                "killed at {killed_at:?}: {said} {events:#?}"
            );
        }
        let pulls = ground.pull_requests().await;
        assert!(pulls.is_none_or(|pulls| pulls == 1), "{pulls:?}");
        if self.moves {
            let behind = ground.git(&["rev-list", "--count", "--all", "--not", "main"]);
            assert_eq!(
                behind, "1",
                "killed at {killed_at:?}: one commit on the newest one"
            );
        }
        let branches = ground.branches();
        let [branch] = &branches[..] else {
            panic!("killed at {killed_at:?}: {branches:?} {events:#?}");
        };
        Played {
            tree: ground.git(&["rev-parse", &format!("{branch}^{{tree}}")]),
            files: ground.git(&["ls-tree", "-r", branch]),
            asked: ground.model.asked(),
            events,
        }
    }
}

impl Matrix<'_> {
    /// Lets the server of a run die, and the run go on to its end. Answers the folder of who went on.
    async fn go_on(
        &self,
        ground: &Ground,
        server: Server,
        run: &str,
        events: &mut Vec<LoggedEvent>,
    ) -> &'static str {
        let (mut frozen, mut data) = (None, "other");
        match self.death {
            Death::Killed => {
                server.kill().await;
                data = "data";
            }
            Death::Replaced => server.kill().await,
            Death::CutOff => {
                server.freeze();
                frozen = Some(server);
            }
            Death::Stopped => {
                server.stop().await;
                data = "data";
            }
        }
        let next = ground.serve(data).await;
        ground.follow(&next, run, events, |_| false).await;
        if let Some(server) = frozen {
            server.thaw().await;
            server.stop().await;
            let mut again = Vec::new();
            ground.follow(&next, run, &mut again, |_| false).await;
            assert_eq!(again, *events, "nothing was written after the end");
        }
        data
    }
}

fn variables(double: &Double) -> Vec<(String, String)> {
    let variables = [
        ("MODAL_SERVER_URL", double.url()),
        ("MODAL_TOKEN_ID", TOKEN_ID.to_owned()),
        ("MODAL_TOKEN_SECRET", TOKEN_SECRET.to_owned()),
        ("MODAL_CONFIG_PATH", "/nonexistent".to_owned()),
    ];
    variables
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
}

fn is_resumed(played: &Played) -> bool {
    let mut events = played.events.iter();
    events.any(|logged| matches!(logged.event, Event::Resumed { .. }))
}

/// No event is lost or doubled, and one end is told.
fn is_whole(events: &[LoggedEvent], expected: Outcome, killed_at: Option<u64>) {
    let numbers = events.iter().map(|logged| logged.seq);
    assert!(
        numbers.eq(1..=events.len() as u64),
        "killed at {killed_at:?}"
    );
    let ends = events
        .iter()
        .filter(|logged| matches!(logged.event, Event::Done { .. }));
    assert_eq!(ends.count(), 1, "killed at {killed_at:?}");
    let Some(Event::Done { outcome, usage, .. }) = events.last().map(|logged| &logged.event) else {
        panic!("killed at {killed_at:?}: the end is not last");
    };
    let mut usage = *usage;
    let mut spent = RunUsage::default();
    events.iter().for_each(|logged| spent.note(&logged.event));
    let used = [usage.sandbox.take(), spent.sandbox.take()].map(Option::unwrap_or_default);
    let off = used[0].memory_gib_seconds - used[1].memory_gib_seconds;
    let told = (usage, off.abs() < 1e-6);
    assert_eq!(told, (spent, true), "killed at {killed_at:?}: {events:#?}");
    assert_eq!(*outcome, expected, "killed at {killed_at:?}: {events:#?}");
}
