//! A port for a server of a test's own, which finds it free again when it is started again. All tests that start servers
//! include this file.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

/// Nothing listens on it, and no connection is given it as its own end: those begin above.
pub fn free_port() -> u16 {
    const FIRST: u32 = 20_000;
    const COUNT: u32 = 12_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let own = std::process::id().wrapping_mul(769);
    (0..COUNT)
        .map(|_| u16::try_from(FIRST + own.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT).unwrap())
        .find(|port| TcpListener::bind(("0.0.0.0", *port)).is_ok())
        .unwrap()
}
