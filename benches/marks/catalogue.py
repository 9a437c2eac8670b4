"""`services` of a large shop, beside nginx with the same bytes in a file."""

import gzip
import pathlib

import load
import orders
import programs
from mark import Mark

SERVICES = 10_000


def marks(tools):
    """10,000 services, plain and compressed."""
    with (
        tools.folder() as folder,
        programs.Sandbox(tools.tollgate, folder, tools.client_core, orders.services(folder, SERVICES)) as sandbox,
        programs.Gateway(tools.tollgate, folder, sandbox, tools.server_core) as gateway,
    ):
        call = f"key={gateway.client}&action=services"
        question = dict(pair.split("=") for pair in call.split("&"))
        plain = programs.post_raw(gateway.url, question)
        packed = programs.post_raw(gateway.url, question, {"Accept-Encoding": "gzip"})
        if gzip.decompress(packed) != plain or plain.count(b'"service":') != SERVICES:
            raise SystemExit("bench: `services` is not what it should be")
        files = pathlib.Path(folder) / "files"
        files.mkdir()
        (files / "services.json").write_bytes(plain)
        (files / "services.json.gz").write_bytes(packed)
        # Its worker runs as another user where this is run by root.
        pathlib.Path(folder).chmod(0o755)
        with programs.nginx(folder, files, tools.server_core) as nginx:
            for name, headers, size in (("plain", {}, len(plain)), ("gzip", {"Accept-Encoding": "gzip"}, len(packed))):
                ours = load.Load(folder, [call], 16, tools.seconds, tools.client_core, headers)
                run_ours = measured(ours, gateway.url, size)
                run_theirs = measured(load.Fetch(folder, [""], 16, tools.seconds, tools.client_core, headers), nginx.url, size)
                ratio, rate, theirs = load.compare(run_ours, run_theirs, tools.rounds)
                words = f"{rate:,.0f}/s beside {theirs:,.0f}/s of nginx with the same {size:,} bytes"
                gateway.verify()
                yield Mark(f"services, 10,000, {name}", ratio, 0.7, words)


def measured(traffic, url, size):
    """Runs that must have brought whole answers of that size."""

    def run():
        result = traffic.run(url)
        if not 0.9 < result["bytes"] / (result["requests"] * size) < 1.1:
            raise SystemExit(f"bench: answers of {url} are not {size} bytes long")
        return result["rate"]

    return run
