//! Two real servers, as processes of their own, on one database.

use std::time::Duration;

use tokio::process::Command;

use super::server::Server;
use crate::runs::lab::PROGRAM;
use crate::served::{Served, SilentGit, read_until};
use crate::support::in_time;

/// A lease of 15 s has to run out, and is looked at every 5 s.
const RECOVERY_LIMIT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_server_goes_on_with_a_run_of_a_killed_one_and_shows_it() {
    let Some(postgres) = Server::shared("two servers on one database") else {
        return;
    };
    let url = postgres.database().await;
    let git = SilentGit::start().await;
    let (mut one, two) = (
        Served::start_on(&url, &git.host).await,
        Served::start_on(&url, &git.host).await,
    );
    let run = one.post(&git.repository(), "once").await;
    let joined = two.post(&git.repository(), "once").await;
    assert_eq!(joined, run, "the key joins it");
    in_time(git.asked()).await;
    let mut stream = two.stream(&run).await;
    let mut seen = String::new();
    in_time(read_until(&mut stream, &mut seen, "the run is accepted")).await;
    one.kill().await;
    let taken_over = tokio::time::timeout(RECOVERY_LIMIT, git.asked()).await;
    taken_over.expect("the other server goes on");
    two.cancel(&run).await;
    in_time(read_until(&mut stream, &mut seen, r#""type":"Done""#)).await;
    assert!(seen.contains(r#""outcome":"cancelled""#), "{seen}");
    let ids = seen.lines().filter_map(|line| line.strip_prefix("id: "));
    let ids: Vec<u64> = ids.map(|id| id.parse().expect("a number")).collect();
    assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_in_the_database_counts_on_every_server() {
    let Some(postgres) = Server::shared("keys of two servers") else {
        return;
    };
    let url = postgres.database().await;
    let (one, two) = (
        Served::start_on(&url, "github.com").await,
        Served::start_on(&url, "github.com").await,
    );
    let secret = keys(&one, &url, &["create", "ci"]).await;
    for server in [&one, &two] {
        assert_eq!(server.list(None).await, 401);
        assert_eq!(server.list(Some(&secret)).await, 200);
    }
    keys(&two, &url, &["revoke", "ci"]).await;
    assert_eq!(one.list(Some(&secret)).await, 401);
    let did = "SELECT count(*) FROM audit WHERE action IN ('key.created', 'key.revoked')";
    assert_eq!(super::sql::numbers(&url, did).await, [2]);
}

/// What `pullwright keys` prints beside a server, on the database.
async fn keys(server: &Served, database: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(PROGRAM);
    command.arg("keys").args(arguments);
    command.args(["--database", "--config", "plugins.toml"]);
    command.current_dir(server.folder.path());
    let output = command.env("DATABASE_URL", database).output();
    let output = in_time(output).await.expect("start pullwright");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout)
        .expect("UTF-8")
        .trim()
        .to_owned()
}
