//! A way to a server of a test's own that can be frozen and cut. All tests that need one include this file.

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// All passes.
    Open,
    /// Connections stand and nothing passes.
    Frozen,
    /// Connections are closed, and so is every new one.
    Cut,
}

/// See the module's words.
pub struct Path {
    port: u16,
    target: u16,
    way: watch::Sender<Way>,
    _tasks: JoinSet<()>,
}

impl Path {
    /// An open one to the server that a URL with `127.0.0.1:PORT` in it is of.
    pub async fn to(url: &str) -> Self {
        let target = url.split_once("127.0.0.1:").unwrap().1;
        let target: u16 = target.split('/').next().unwrap().parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (way, ways) = watch::channel(Way::Open);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(carry(client, target, ways.clone()));
            }
        });
        Self { port, target, way, _tasks: tasks }
    }

    /// The same URL by this way.
    pub fn url(&self, url: &str) -> String {
        url.replace(&format!("127.0.0.1:{}", self.target), &format!("127.0.0.1:{}", self.port))
    }

    /// From now on it is so.
    pub fn be(&self, way: Way) {
        self.way.send_replace(way);
    }
}

async fn carry(mut client: TcpStream, target: u16, mut ways: watch::Receiver<Way>) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", target)).await else { return };
    loop {
        let way = *ways.borrow_and_update();
        match way {
            Way::Cut => return,
            Way::Frozen => drop(ways.changed().await),
            // What was read and not yet written on is lost by a freeze, as by a real one that ends in a lost connection.
            Way::Open => tokio::select! {
                _ = copy_bidirectional(&mut client, &mut server) => return,
                _ = ways.changed() => {}
            },
        }
    }
}
