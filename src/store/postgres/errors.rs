//! What PostgreSQL says, in the store's words. The one place where that is decided.

use std::error::Error as _;

use tokio_postgres::error::{Severity, SqlState};

use super::address::CONNECT_TIMEOUT;
use crate::store::StoreError;

/// An error of a statement. `nothing_stays`: whatever the connection did in this transaction is gone with it.
pub(super) fn of_statement(error: &tokio_postgres::Error, nothing_stays: bool) -> StoreError {
    let Some(state) = error.code() else {
        return connection_lost(&told(error), nothing_stays);
    };
    let said = told(error);
    // The server ended a transaction whose program had stood still: what was asked of it after that, it did not do.
    if *state == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT {
        return StoreError::Overloaded;
    }
    // A server that breaks down while it commits may have committed, whatever broke.
    let breaks_down = matches!(
        error.as_db_error().and_then(tokio_postgres::error::DbError::parsed_severity),
        Some(Severity::Fatal | Severity::Panic)
    );
    if breaks_down && !nothing_stays {
        return StoreError::InDoubt(said);
    }
    match state {
        // Others were in the way: tried again, it may work.
        &SqlState::T_R_SERIALIZATION_FAILURE
        | &SqlState::T_R_DEADLOCK_DETECTED
        | &SqlState::LOCK_NOT_AVAILABLE
        | &SqlState::QUERY_CANCELED
        | &SqlState::TOO_MANY_CONNECTIONS => StoreError::Overloaded,
        &SqlState::DISK_FULL
        | &SqlState::READ_ONLY_SQL_TRANSACTION
        | &SqlState::OUT_OF_MEMORY
        | &SqlState::IO_ERROR => StoreError::CannotWrite(said),
        &SqlState::DATA_CORRUPTED | &SqlState::INDEX_CORRUPTED => StoreError::Corrupt(said),
        state if ends_connection(state) => connection_lost(&said, nothing_stays),
        _ => StoreError::Engine(said),
    }
}

/// Whether the server ends the connection with this error, so that a commit under way may have taken place.
fn ends_connection(state: &SqlState) -> bool {
    ["57P", "08"].iter().any(|class| state.code().starts_with(class))
}

/// The connection is gone. Where a commit may have been under way, what became of it is not known.
pub(super) fn connection_lost(said: &str, nothing_stays: bool) -> StoreError {
    if nothing_stays {
        StoreError::CannotWrite(format!("the connection to PostgreSQL was lost: {said}"))
    } else {
        StoreError::InDoubt(said.to_owned())
    }
}

/// No connection could be had; nothing was begun.
pub(super) fn of_pool(error: &deadpool_postgres::PoolError) -> StoreError {
    match error {
        deadpool_postgres::PoolError::Timeout(deadpool_postgres::TimeoutType::Wait) => StoreError::Overloaded,
        deadpool_postgres::PoolError::Backend(error) => unreachable_server(&told(error)),
        deadpool_postgres::PoolError::Timeout(_) => {
            let within = CONNECT_TIMEOUT.as_secs();
            unreachable_server(&format!("it does not answer a connection within {within} seconds"))
        }
        error => unreachable_server(&error.to_string()),
    }
}

/// The server can't be reached.
pub(super) fn unreachable_server(said: &str) -> StoreError {
    StoreError::CannotWrite(format!("PostgreSQL can't be reached: {said}"))
}

/// The error with what the server said, which `Display` leaves out. Neither holds the address or its password.
pub(super) fn told(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), error.source()) {
        (Some(said), _) => format!("{} ({})", said.message(), said.code().code()),
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    }
}

impl From<tokio_postgres::Error> for StoreError {
    /// Of reading a row: what is stored is not what belongs there.
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Corrupt(told(&error))
    }
}
