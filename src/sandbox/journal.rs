//! The file that says which orders were accepted, whatever became of the answer.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use serde_json::{Map, Value, json};

use super::order::Order;

pub(super) struct Journal(File);

impl Journal {
    /// Opens a journal to be added to; makes it where there is none.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        file.map(Self).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot open the journal {}: {error}", path.display()))
        })
    }

    /// Adds an order: one line, written whole.
    pub(super) fn write(&mut self, order: &Order) -> io::Result<()> {
        let mut line = entry(order).to_string();
        line.push('\n');
        self.0.write_all(line.as_bytes())
    }
}

/// What is known of an order from the beginning: its line in the journal.
pub(super) fn entry(order: &Order) -> Value {
    let placing = &order.placing;
    let params = placing.params.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str())));
    json!({
        "at": order.at.to_string(),
        "order": order.id,
        "service": placing.service,
        "link": placing.link,
        "quantity": placing.quantity,
        "charge": placing.charge.to_string(),
        "params": params.collect::<Map<_, _>>(),
    })
}
