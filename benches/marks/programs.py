"""Starts and stops the programs that are measured, each on the cores that it is given."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time
import urllib.parse
import urllib.request

KEY = "0123456789abcdef0123456789abcdef"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until(what, ready, seconds=60):
    """Waits for a condition; an exception of it counts as not yet."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError, KeyError):
            if ready():
                return
        time.sleep(0.02)
    raise SystemExit(f"bench: waited {seconds} s in vain for {what}")


class Program:
    """One process, with its words in a file; it ends with the `with` block."""

    def __init__(self, name, command, folder, core=None):
        self.name = name
        self.log = pathlib.Path(folder) / f"{name}.log"
        pinned = ["taskset", "-c", str(core)] if core is not None else []
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [*pinned, *map(str, command)], cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def alive(self):
        if self.process.poll() is not None:
            raise SystemExit(f"bench: {self.name} ended by itself:\n{self.log.read_text()[-2000:]}")
        return True

    def memory(self):
        """Resident bytes, now and at the most."""
        fields = dict(
            line.split(":", 1) for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        )
        return tuple(int(fields[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Sandbox(Program):
    """A simulated upstream."""

    def __init__(self, tollgate, folder, core=None, services=None, speed="0"):
        self.port = free_port()
        self.journal = pathlib.Path(folder) / "journal.jsonl"
        command = [tollgate, "sandbox", "--listen", f"127.0.0.1:{self.port}", "--key", KEY, "--speed", speed]
        if services:
            command += ["--services", services]
        super().__init__("sandbox", command, folder, core)
        wait_until("the sandbox", lambda: self.alive() and self.call("balance")["balance"])

    def call(self, action, **parameters):
        return post(f"http://127.0.0.1:{self.port}/api/v2", {"key": KEY, "action": action, **parameters})


class Gateway(Program):
    """The gateway on a store of its own, with one client that has all the money it needs."""

    def __init__(self, tollgate, folder, sandbox, core=None, provider="", top="", store="sqlite://tollgate.db"):
        self.tollgate, self.folder = tollgate, pathlib.Path(folder)
        self.port, self.ops_port = free_port(), free_port()
        self.config = self.folder / "providers.toml"
        self.config.write_text(f"""
[server]
listen = "127.0.0.1:{self.port}"
ops_listen = "127.0.0.1:{self.ops_port}"
[store]
url = "{store}"
{top}
[[provider]]
id = "alpha"
url = "http://127.0.0.1:{sandbox.port}/api/v2"
key = "{KEY}"
{provider}
[[import]]
provider = "alpha"
id_offset = 0
""")
        super().__init__("gateway", [tollgate, "serve", "--config", self.config], folder, core)
        wait_until("the gateway", lambda: self.alive() and get(f"http://127.0.0.1:{self.ops_port}/readyz"))
        self.client = self.new_client("reseller")
        wait_until("the client's key", lambda: "balance" in self.call("balance"))

    def new_client(self, name):
        """Its key."""
        return json.loads(self.verb("client", "add", name, "--deposit", "1000000", "--json"))["key"]

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/api/v2"

    def verb(self, *arguments):
        command = [self.tollgate, "--config", str(self.config), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def call(self, action, **parameters):
        return post(self.url, {"key": self.client, "action": action, **parameters})

    def metric(self, name, **labels):
        """The sum of a metric over what carries these labels."""
        wanted = [f'{label}="{text}"' for label, text in labels.items()]
        lines = get(f"http://127.0.0.1:{self.ops_port}/metrics").splitlines()
        named = [line for line in lines if line.startswith((name + "{", name + " "))]
        return sum(float(line.rpartition(" ")[2]) for line in named if all(word in line for word in wanted))

    def verify(self):
        if not json.loads(self.verb("verify", "--json"))["ok"]:
            raise SystemExit("bench: `tollgate verify` fails")


def peer_http(peer, folder, body, core=None):
    """A bare hyper server that answers `body`."""
    file, port = pathlib.Path(folder) / "body.json", free_port()
    file.write_bytes(body)
    program = Program("peer", [peer, "http", f"127.0.0.1:{port}", file], folder, core)
    program.url = f"http://127.0.0.1:{port}/api/v2"
    wait_until("the peer", lambda: program.alive() and get(program.url) is not None)
    return program


def nginx(folder, files, core=None):
    """An nginx that serves the folder `files`, compressed ones where they are asked for."""
    folder, port = pathlib.Path(folder), free_port()
    (folder / "nginx.conf").write_text(f"""
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; default_type application/json;
  open_file_cache max=16; gzip_static on;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{ listen 127.0.0.1:{port}; root {files}; }}
}}
""")
    program = Program("nginx", [shutil.which("nginx") or "/usr/sbin/nginx", "-c", folder / "nginx.conf"], folder, core)
    program.url = f"http://127.0.0.1:{port}/services.json"
    wait_until("nginx", lambda: program.alive() and get(program.url))
    return program


def redis(folder, core=None):
    """A Redis that keeps nothing on the disk."""
    port = free_port()
    command = ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    program = Program("redis", command, folder, core)
    program.port = port

    def answers():
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16) == b"+PONG\r\n"

    wait_until("redis", lambda: program.alive() and answers())
    return program


class Postgres(Program):
    """A PostgreSQL in `folder`, made there unless it is there already; nothing of it is tuned but what is given."""

    def __init__(self, folder, before=(), core=None, settings=()):
        self.port, self.data = free_port(), pathlib.Path(folder) / "postgres" / "data"
        self.programs = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        # It does not run as root.
        self.user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.getuid() == 0 else []
        if not self.data.exists():
            self.data.parent.mkdir()
            if self.user:
                pathlib.Path(folder).chmod(0o755)
                shutil.chown(self.data.parent, "nobody", "nogroup")
            made = [self.programs / "initdb", "-D", self.data, "-U", "tollgate", "-A", "trust", "-E", "UTF8", "--locale=C"]
            subprocess.run([*self.user, *made], check=True, capture_output=True, cwd="/")
        # Vacuum would come whenever it likes.
        told = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "autovacuum": "off"}
        told |= dict(settings)
        options = [word for name, value in told.items() for word in ("-c", f"{name}={value}")]
        command = [*self.user, *before, self.programs / "postgres", "-D", self.data, *options]
        super().__init__("postgres", command, folder, core)
        wait_until("PostgreSQL", lambda: self.alive() and self.psql("postgres", "SELECT 1", quiet=True), 120)

    def __exit__(self, *_):
        # A fast shutdown, which waits for no connection.
        self.process.send_signal(signal.SIGINT)
        self.process.wait(120)

    @property
    def url(self):
        return f"postgres://tollgate:none@127.0.0.1:{self.port}/postgres"

    def psql(self, database, script, quiet=False):
        command = ["psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "tollgate", "-d", database]
        command += ["-qtAX", "-v", "ON_ERROR_STOP=1"]
        done = subprocess.run(command, input=script, capture_output=True, text=True)
        if done.returncode and not quiet:
            raise SystemExit(f"bench: psql: {done.stderr}")
        return done.stdout.strip()

    def children(self):
        """Its processes."""
        return set(map(int, pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()))

    def pages(self):
        """How many pages were asked for in all, found in its memory or not."""
        sum_of = "SELECT blks_hit + blks_read FROM pg_stat_database WHERE datname = 'postgres'"
        return int(self.psql("template1", sum_of))


def get(url, headers=None):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=30) as answer:
        return answer.read().decode()


def post(url, parameters, headers=None):
    """A call of the API, decoded."""
    return json.loads(post_raw(url, parameters, headers))


def post_raw(url, parameters, headers=None):
    data = urllib.parse.urlencode(parameters).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, headers or {}), timeout=60) as answer:
        return answer.read()
