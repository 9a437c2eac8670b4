"""Measures the release binary beside its peers, and prints a table of what was found and what is asked for."""

import argparse
import contextlib
import itertools
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import catalogue
import memory
import orders
import polling
import postgres
import scale
import statuses

GROUPS = {
    "status": statuses.marks,
    "redis": statuses.redis_marks,
    "services": catalogue.marks,
    "add": orders.marks,
    "postgres": postgres.marks,
    "memory": memory.marks,
    "polling": polling.marks,
    "scale": scale.marks,
}


class Tools:
    """The programs, and how long and where they are measured."""

    def __init__(self, options):
        self.tollgate, self.peer, self.scale = options.tollgate, options.peer, options.scale
        self.rounds, self.seconds = options.rounds, options.seconds
        cores = sorted(os.sched_getaffinity(0))
        self.server_core, self.client_core = cores[0], cores[-1]

    @contextlib.contextmanager
    def folder(self):
        """A folder on the disk that stores are measured on, empty and gone afterwards."""
        folder = tempfile.mkdtemp(prefix="bench-", dir=pathlib.Path(self.tollgate).parent)
        try:
            yield folder
        finally:
            shutil.rmtree(folder)

    def run_peer(self, *arguments):
        return float(subprocess.run([self.peer, *arguments], check=True, capture_output=True, text=True).stdout)

    def run_scale(self, *arguments, before=()):
        """Gives what it prints: microseconds for each operation, where it was told to do one."""
        command = [*before, self.scale, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"bench: {' '.join(map(str, command))}: {done.stderr}")
        return done.stdout.strip()

    def verify(self, folder, store):
        """A store that is a file or a server's address must be sound."""
        url = store if str(store).startswith("postgres://") else f"sqlite://{store}"
        config = pathlib.Path(folder) / "verify.toml"
        config.write_text(f'[store]\nurl = "{url}"\n')
        done = subprocess.run([self.tollgate, "--config", config, "verify"], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"bench: `tollgate verify` fails: {done.stdout} {done.stderr}")


def main():
    options = argparse.ArgumentParser(prog="scripts/bench")
    options.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(GROUPS)}; all unless told")
    options.add_argument("--rounds", type=int, default=5, help="of each pair of runs; the median ratio counts")
    options.add_argument("--seconds", type=int, default=4, help="of each run")
    options.add_argument("--tollgate", required=True, help=argparse.SUPPRESS)
    options.add_argument("--peer", required=True, help=argparse.SUPPRESS)
    options.add_argument("--scale", required=True, help=argparse.SUPPRESS)
    options = options.parse_args()
    unknown = set(options.groups) - set(GROUPS)
    if unknown:
        raise SystemExit(f"bench: no such group: {', '.join(unknown)}; there are {', '.join(GROUPS)}")
    tools = Tools(options)
    print("| mark | found | asked for | |\n| --- | --- | --- | --- |", flush=True)
    missed = 0
    for mark in itertools.chain.from_iterable(GROUPS[name](tools) for name in options.groups or GROUPS):
        word = "at most" if mark.at_most else "at least"
        missed += not mark.reached
        print(f"| {mark.name} | {mark.figure:.2f} | {word} {mark.bound:g} | {mark.words} |", flush=True)
    if missed:
        raise SystemExit(f"bench: {missed} marks are missed")


main()
