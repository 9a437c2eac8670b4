//! The log of a simulated gateway: part of the story, and no place for a key.

use std::cell::RefCell;
use std::fmt::{Debug, Write};
use std::sync::{Arc, Weak};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use super::world::World;

thread_local! {
    static WORLD: RefCell<Weak<World>> = const { RefCell::new(Weak::new()) };
}

/// What is logged on this thread belongs to `world` until this is dropped.
pub(super) fn told_to(world: &Arc<World>) -> tracing::subscriber::DefaultGuard {
    WORLD.set(Arc::downgrade(world));
    tracing::subscriber::set_default(tracing_subscriber::registry().with(Log))
}

struct Log;

impl<S: Subscriber> Layer<S> for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.target().starts_with("tollgate") && *metadata.level() <= Level::DEBUG
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let Some(world) = WORLD.with_borrow(Weak::upgrade) else { return };
        let mut line = Line(format!("log {}:", event.metadata().level()));
        event.record(&mut line);
        let keys: Vec<String> = world.state().panels.values().map(|panel| panel.key.clone()).collect();
        if keys.iter().any(|key| line.0.contains(key)) {
            world.fail(format!("a key is in the log: {}", line.0));
        }
        world.note(format_args!("{}", line.0));
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}
