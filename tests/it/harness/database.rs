//! Stores of gateways in the one PostgreSQL of the test run, for who does not wait in a task.

use tokio_postgres::{Client, NoTls};

use super::Cluster;

/// Whether this run's gateways have their stores in databases.
pub fn is_wanted() -> bool {
    std::env::var("TOLLGATE_TEST_STORE").is_ok_and(|store| store == "postgres")
}

/// Makes an empty database; gives its `postgres://…`.
pub fn new_database() -> String {
    waited_for(Cluster::shared().new_database())
}

/// Runs statements in the database at this `postgres://…`.
pub fn execute(url: &str, sql: &str) {
    waited_for(with_connection(url, async |client| client.batch_execute(sql).await.unwrap()));
}

/// The first column of every row of a query, as text.
pub fn query(url: &str, sql: &str) -> Vec<Option<String>> {
    waited_for(with_connection(url, async |client| {
        client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }))
}

async fn with_connection<T>(url: &str, work: impl AsyncFnOnce(&Client) -> T) -> T {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::select! {
        done = work(&client) => done,
        ended = connection => panic!("the connection ended: {ended:?}"),
    }
}

/// Runs a future to its end in a thread of its own: also where this one runs others.
fn waited_for<T: Send>(future: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        let run = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
        scope.spawn(run).join().unwrap()
    })
}
