"""Load by wrk, and comparison in alternating rounds, so that a machine that slows down slows both sides."""

import json
import pathlib
import re
import statistics
import subprocess

# Each connection sends the prepared requests in turn, from a place of its own.
SCRIPT = """
local requests, at = {}, 0
function init()
  for line in io.lines("%s") do
    requests[#requests + 1] = wrk.format("%s", "%s", %s, line)
  end
end
function request()
  at = at %% #requests + 1
  return requests[at]
end
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format('RESULT {"rate": %%.3f, "requests": %%d, "p50": %%.3f, "p99": %%.3f, "max": %%.3f, "errors": %%d, "bytes": %%d}\\n',
    summary.requests / summary.duration * 1e6, summary.requests, latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    latency.max / 1000, errors.connect + errors.read + errors.write + errors.status + errors.timeout, summary.bytes))
end
"""


class Load:
    """Bodies that are sent again and again over a number of connections."""

    def __init__(self, folder, bodies, connections, seconds, core=None, headers=None):
        folder = pathlib.Path(folder)
        headers = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        self.prepare(folder, "POST", "/api/v2", headers, bodies)
        self.connections, self.seconds, self.core = connections, seconds, core

    def prepare(self, folder, method, path, headers, bodies):
        folder.mkdir(exist_ok=True)
        (folder / "bodies.txt").write_text("".join(body + "\n" for body in bodies))
        table = "{" + ", ".join(f'["{name}"] = "{text}"' for name, text in headers.items()) + "}"
        self.script = folder / "load.lua"
        self.script.write_text(SCRIPT % (folder / "bodies.txt", method, path, table))

    def run(self, url, seconds=None):
        """One run; what is not an answer with status 200 ends the whole measurement."""
        pinned = ["taskset", "-c", str(self.core)] if self.core is not None else []
        command = ["wrk", "-t1", f"-c{self.connections}", f"-d{seconds or self.seconds}s", "--timeout", "30s"]
        output = subprocess.run(
            [*pinned, *command, "-s", self.script, url], check=True, capture_output=True, text=True
        ).stdout
        result = json.loads(re.search(r"^RESULT (.*)$", output, re.MULTILINE).group(1))
        if result["errors"]:
            raise SystemExit(f"bench: {result['errors']} errors at {url}")
        return result


class Fetch(Load):
    """The same with a plain GET of a file."""

    def prepare(self, folder, method, path, headers, bodies):
        super().prepare(folder / "fetch", "GET", "/services.json", headers, bodies)


def compare(ours, peer, rounds):
    """Runs both in turns. Gives the median of the rounds' ratios, and both sides' median rates."""
    pairs = [(peer(), ours()) for _ in range(rounds)]
    ratio = statistics.median(ours / peer for peer, ours in pairs)
    return ratio, statistics.median(ours for _, ours in pairs), statistics.median(peer for peer, _ in pairs)
