//! The engine's own promises, and the conformance suite on a file and in memory.

use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::store::conformance::{AnyStore, conformance};

mod on_file {
    use super::*;

    async fn open() -> (AnyStore, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let mode = OpenMode::Gateway { first_order_id: 1 };
        (Arc::new(SqliteStore::open(&folder.path().join("t.db"), mode).unwrap()), folder)
    }

    conformance!(open);
}

mod in_memory {
    use super::*;

    async fn open() -> (AnyStore, ()) {
        (Arc::new(SqliteStore::in_memory(1).unwrap()), ())
    }

    conformance!(open);
}
