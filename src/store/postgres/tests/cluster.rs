//! A PostgreSQL of the tests' own, on a free port: one for each test program, with a database for each test. It ends with
//! the program, whichever way that ends. It does not wait for its disk (`fsync=off`): what is tested is what the program
//! does with what the server says, not the server.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio_postgres::NoTls;

use super::free_port;

/// Runs a server until its standard input ends, and clears up after it. `$1` its folder, `$2` its programs, `$3` its port,
/// `$4` whether it has TLS, by a certificate for `localhost` that `root.crt` in its folder has signed; what follows is put
/// before them, to run them as somebody else than root.
const SCRIPT: &str = r#"
folder=$1 bin=$2 port=$3 ssl=$4; shift 4
trap '' INT TERM
cd /
"$@" "$bin/initdb" -D "$folder/data" -U tollgate -A trust -E UTF8 --locale=C --no-sync >"$folder/log" 2>&1 || exit 1
if [ "$ssl" = on ]; then
    cd "$folder/data"
    echo subjectAltName=DNS:localhost >ext
    { "$@" openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=tests -keyout ca.key -out ../root.crt &&
        "$@" openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr &&
        "$@" openssl x509 -req -in server.csr -CA ../root.crt -CAkey ca.key -CAcreateserial -days 2 -extfile ext \
            -out server.crt && chmod 600 server.key; } >>"$folder/log" 2>&1 || exit 1
    cd /
fi
start() {
    # While a process of a server that was killed is still there, another one ends at once.
    for try in 1 2 3 4 5 6 7 8 9; do
        "$@" "$bin/postgres" -D "$folder/data" -p "$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
            -c fsync=off -c ssl=$ssl -c max_connections=300 -c shared_buffers=32MB >>"$folder/log" 2>&1 </dev/null &
        pid=$!
        sleep 0.4
        kill -0 $pid 2>/dev/null && return
    done
}
start "$@"
while read -r word; do
    case $word in
    kill) kill -QUIT $pid; wait $pid ;;
    stop) kill -INT $pid; wait $pid ;;
    start) start "$@" ;;
    esac
    echo done
done
kill -QUIT $pid 2>/dev/null; wait $pid; rm -rf "$folder"
"#;

/// A server.
pub struct Cluster {
    port: u16,
    folder: PathBuf,
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Cluster {
    /// The one that this program's tests share.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Starts one; it may not take connections yet.
    pub fn start() -> Self {
        Self::start_with("off")
    }

    /// The same with TLS.
    pub fn start_with_tls() -> Self {
        Self::start_with("on")
    }

    fn start_with(ssl: &str) -> Self {
        let port = free_port();
        let folder = std::env::temp_dir().join(format!("tollgate-postgres-{}-{port}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "sh"]).arg(&folder).arg(programs()).arg(port.to_string()).arg(ssl);
        // PostgreSQL does not run as root.
        if is_root(&folder) {
            assert!(Command::new("chown").arg("nobody").arg(&folder).status().unwrap().success());
            command.args(["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]);
        } else {
            command.arg("env");
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { port, folder, child, answers }
    }

    /// `postgres://…` of a database of it.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://tollgate:not-shown@127.0.0.1:{}/{database}", self.port)
    }

    /// Makes an empty database; gives its `postgres://…`.
    pub async fn new_database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let client = self.connect("postgres").await;
        client.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0")).await.unwrap();
        self.url(&name)
    }

    /// A connection to a database of it, as soon as it takes them.
    pub async fn connect(&self, database: &str) -> tokio_postgres::Client {
        let mut tries = 0;
        loop {
            match tokio_postgres::connect(&self.url(database), NoTls).await {
                Ok((client, connection)) => {
                    #[expect(clippy::disallowed_methods, reason = "it ends with the client")]
                    tokio::spawn(connection);
                    return client;
                }
                Err(error) if tries > 600 => panic!("PostgreSQL does not start (scripts/test installs it): {error}"),
                Err(_) => tries += 1,
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The certificate that signed the one of a server with TLS.
    pub fn root(&self) -> PathBuf {
        self.folder.join("root.crt")
    }

    /// Ends the server as an operator does; connections are cut.
    pub fn stop(&mut self) {
        self.tell("stop\n");
    }

    /// Ends the server at once, as a crash does; connections are lost.
    pub fn kill(&mut self) {
        self.tell("kill\n");
    }

    /// Starts it again.
    pub fn restart(&mut self) {
        self.tell("start\n");
    }

    fn tell(&mut self, word: &str) {
        self.child.stdin.as_mut().unwrap().write_all(word.as_bytes()).unwrap();
        self.answers.read_line(&mut String::new()).unwrap();
    }
}

/// The folder of the newest server's programs.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, bin)| bin.join("initdb").exists())
        .collect();
    found.sort();
    found.pop().map_or_else(|| panic!("PostgreSQL is missing: scripts/test installs it"), |(_, bin)| bin)
}

fn is_root(own: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(own).unwrap().uid() == 0
}
