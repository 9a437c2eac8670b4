//! Which gateways serve the store: each says again and again that it is there, on a connection of its own, so that a store
//! with much to do does not cost a gateway its place.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_postgres::Client;

use super::address::Address;
use super::errors::{told, unreachable_server};
use super::open::random_word;
use super::rows::Columns;
use crate::domain::time::{Timestamp, millis_of};
use crate::store::records::{Attendance, LATE_AFTER, PLACE, Versions};
use crate::store::{StoreError, StoreResult};
use crate::task::Moment;

/// How long the server may take: less than a place lasts.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(1500);

/// This gateway among others.
pub(super) struct Membership {
    address: Address,
    /// A random word: this run of a gateway.
    id: String,
    connection: Mutex<Option<Client>>,
}

impl Membership {
    /// One that is not there yet.
    pub(super) fn new(address: Address) -> StoreResult<Self> {
        Ok(Self { address, id: random_word()?, connection: Mutex::default() })
    }

    /// What it calls itself.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// See [`crate::store::Store::attend`].
    pub(super) async fn attend(&self, serving: &str, word: i64) -> StoreResult<Attendance> {
        let mut connection = self.connection.lock().await;
        let asked = (Instant::now(), Moment::now());
        let answer = match tokio::time::timeout(ANSWER_TIMEOUT, self.ask(&mut connection, serving, word)).await {
            Ok(answer) => answer,
            Err(_) => Err(unreachable_server("no answer in time")),
        };
        if answer.is_err() {
            *connection = None;
        }
        answer.map(|answer| answer.attendance(asked))
    }

    async fn ask(&self, connection: &mut Option<Client>, serving: &str, word: i64) -> StoreResult<Answer> {
        if connection.as_ref().is_none_or(Client::is_closed) {
            *connection = Some(connect(&self.address).await?);
        }
        let client = connection.as_ref().ok_or_else(|| unreachable_server("no connection"))?;
        let sql = "SELECT rank, words, otherwise, late, epoch, clock, catalogues, configuration, deadlines \
                   FROM attend($1, $2, $3, $4, $5)";
        let (lasts, late_after) = (millis_of(PLACE), millis_of(LATE_AFTER));
        let row = client.query_one(sql, &[&self.id, &serving, &word, &lasts, &late_after]).await;
        let row = row.map_err(|error| unreachable_server(&told(&error)))?;
        let mut columns = Columns::of(&row);
        Ok(Answer {
            rank: columns.small()?,
            words: columns.take()?,
            otherwise: columns.small()?,
            is_any_late: columns.take()?,
            epoch: columns.take()?,
            clock: columns.time()?,
            versions: Versions {
                catalogues: columns.take()?,
                configuration: columns.take()?,
                timeline: columns.take()?,
            },
        })
    }

    /// See [`crate::store::Store::leave`].
    pub(super) async fn leave(&self) -> StoreResult<()> {
        let mut connection = self.connection.lock().await;
        let leave = async {
            if connection.as_ref().is_none_or(Client::is_closed) {
                *connection = Some(connect(&self.address).await?);
            }
            let client = connection.as_ref().ok_or_else(|| unreachable_server("no connection"))?;
            let done = client.execute("SELECT leave($1)", &[&self.id]).await;
            done.map_err(|error| unreachable_server(&told(&error)))
        };
        match tokio::time::timeout(ANSWER_TIMEOUT, leave).await {
            Ok(done) => done.map(drop),
            Err(_) => Err(unreachable_server("no answer in time")),
        }
    }
}

/// What the schema's function `attend` gives.
struct Answer {
    rank: u32,
    words: Vec<i64>,
    otherwise: u32,
    is_any_late: bool,
    epoch: i64,
    clock: Timestamp,
    versions: Versions,
}

impl Answer {
    /// `asked`: when the question left.
    fn attendance(self, asked: (Instant, Moment)) -> Attendance {
        let (asked_at, asked) = asked;
        // Half-way between question and answer.
        let read = asked.plus(Moment::now().since(asked) / 2);
        Attendance {
            gateways: u32::try_from(self.words.len()).unwrap_or(u32::MAX).saturating_add(1),
            rank: self.rank,
            words: self.words,
            otherwise: self.otherwise,
            is_any_late: self.is_any_late,
            epoch: self.epoch,
            asked_at: Some(asked_at),
            until: Some(asked.plus(PLACE)),
            clock: Some((self.clock, read)),
            versions: self.versions,
        }
    }
}

/// A connection outside of the pool.
async fn connect(address: &Address) -> StoreResult<Client> {
    let (client, connection) =
        match tokio::time::timeout(ANSWER_TIMEOUT, address.config.connect(address.tls.clone())).await {
            Ok(connected) => connected.map_err(|error| unreachable_server(&told(&error)))?,
            Err(_) => return Err(unreachable_server("no answer in time")),
        };
    #[expect(clippy::disallowed_methods, reason = "it ends with the connection's client, which the store holds")]
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = %told(&error), "a connection to PostgreSQL ended");
        }
    });
    Ok(client)
}

/// Whether a gateway serves the database.
pub(super) async fn anybody_there(address: &Address) -> StoreResult<bool> {
    let client = connect(address).await?;
    let ask = async {
        let known = client.query_one("SELECT to_regclass('gateways') IS NOT NULL", &[]).await?;
        if !known.try_get::<_, bool>(0)? {
            return Ok(false);
        }
        let sql = "SELECT EXISTS (SELECT FROM gateways WHERE seen_until > clock_ms())";
        client.query_one(sql, &[]).await?.try_get(0)
    };
    match tokio::time::timeout(Duration::from_secs(5), ask).await {
        Ok(answer) => answer.map_err(|error: tokio_postgres::Error| unreachable_server(&told(&error))),
        Err(_) => Err(StoreError::CannotWrite("PostgreSQL gives no answer in time".into())),
    }
}
