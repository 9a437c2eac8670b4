//! Puts the parts together and runs the gateway: configuration, store, cache, upstreams, tasks, sockets; then
//! waits for a signal, and drains.
//!
//! The only room besides the command line that knows which engine is behind a trait.
