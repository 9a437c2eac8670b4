//! What the gateway is measured beside: the least program that does the same outward work.
//!
//! `peer http ADDR FILE` answers every request with the bytes of FILE, on a bare hyper.
//! `peer commits DIR SECONDS WRITERS` writes the rows of a placed order from that many writers that each wait for their
//! commit, and prints orders per second.

mod commits;
mod http;

use std::path::Path;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["http", address, file] => http::serve(address, Path::new(file)),
        ["commits", folder, seconds, writers] => {
            println!("{}", commits::orders_per_second(Path::new(folder), seconds.parse()?, writers.parse()?)?);
            Ok(())
        }
        // `cargo test --benches` and `cargo bench` run it without a word.
        [] => Ok(()),
        _ => anyhow::bail!("usage: peer http ADDR FILE | peer commits DIR SECONDS WRITERS"),
    }
}
