//! SQL beside the store.

use sqlx::{Connection, PgConnection};

pub(super) async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.expect("connect")
}

pub(super) async fn run(url: &str, sql: &str) {
    let mut connection = connect(url).await;
    let statements = sqlx::raw_sql(sqlx::AssertSqlSafe(sql));
    statements.execute(&mut connection).await.expect("SQL");
    connection.close().await.expect("close");
}

pub(super) async fn numbers(url: &str, sql: &str) -> Vec<i64> {
    let mut connection = connect(url).await;
    let query = sqlx::query_scalar(sqlx::AssertSqlSafe(sql));
    let rows = query.fetch_all(&mut connection).await.expect("SQL");
    connection.close().await.expect("close");
    rows
}
