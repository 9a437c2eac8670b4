"""What `add`, `status` and a poll cost on stores of 10^4, 10^5 and 10^6 orders: instructions, and pages looked at."""

import pathlib
import subprocess

import fill
import programs
from mark import Mark

SIZES = (10_000, 100_000, 1_000_000)
# How often each is done; the cost of one is the difference of two runs, which leaves out what a run costs by itself.
SQLITE_TIMES = {"add": (200, 1000), "status": (50, 200), "poll": (20, 60)}
POSTGRES_TIMES = {"add": (50, 300), "status": (20, 60), "poll": (10, 20)}


def marks(tools):
    """Flat within a fifth, whatever the store holds."""
    yield from flat("SQLite", {size: sqlite(tools, size) for size in SIZES})
    yield from flat("PostgreSQL", {size: postgres(tools, size) for size in SIZES})


def flat(engine, costs):
    for operation in SQLITE_TIMES:
        for part, what in enumerate(("instructions", "pages")):
            found = [costs[size][operation][part] for size in SIZES]
            words = ", ".join(f"{figure:,.0f}" for figure in found) + f" {what} at 10^4, 10^5, 10^6 orders"
            yield Mark(f"scale, {engine}, {operation}, {what}", max(found) / min(found), 1.2, words, at_most=True)


def sqlite(tools, size):
    """Of the whole program; a page counts each time that it is asked for, cached or not."""
    with tools.folder() as folder:
        store = pathlib.Path(folder) / "tollgate.db"
        tools.run_scale("make", store)
        fill.sqlite(store, size)
        if size == SIZES[0]:
            tools.verify(folder, store)

        def measured(operation, first, times):
            out = pathlib.Path(folder) / "callgrind.out"
            callgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
            tools.run_scale(operation, store, size, first, times, before=callgrind)
            counts = Callgrind(out)
            return counts.instructions, counts.calls("getPageNormal")

        return costs(measured, SQLITE_TIMES)


def postgres(tools, size):
    """Of the server's processes that serve the program; a page counts each time that it is asked for."""
    with tools.folder() as folder:
        with programs.Postgres(folder) as server:
            tools.run_scale("make", server.url)
            fill.postgres(server, size)
            if size == SIZES[0]:
                tools.verify(folder, server.url)
        outs = pathlib.Path(folder) / "postgres" / "callgrind.out"
        callgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={outs}.%p"]
        with programs.Postgres(folder, before=callgrind) as server:

            def measured(operation, first, times):
                pages, others = server.pages(), server.children()
                tools.run_scale(operation, server.url, size, first, times)
                programs.wait_until("the connections' ends", lambda: server.children() <= others)
                mine = [out for out in outs.parent.glob("callgrind.out.*") if int(out.suffix[1:]) not in others]
                instructions = sum(Callgrind(out).instructions for out in mine)
                for out in mine:
                    out.unlink()
                return instructions, server.pages() - pages

            # The first connection after a start writes down what the later ones read of the server's catalogues.
            measured("status", 0, 1)
            return costs(measured, POSTGRES_TIMES)


def costs(measured, times):
    found = {}
    for operation, (few, more) in times.items():
        alone = measured(operation, 0, few)
        together = measured(operation, few, few + more)
        found[operation] = [(b - a) / more for a, b in zip(alone, together)]
    return found


class Callgrind:
    """What a callgrind run counted."""

    def __init__(self, out):
        self.lines = pathlib.Path(out).read_text(errors="replace").splitlines()

    @property
    def instructions(self):
        return sum(int(line.split()[1]) for line in self.lines if line.startswith("totals:"))

    def calls(self, function):
        """How often a function was called. A name is spelt out where it is first used; later its number stands for it."""
        mark, of_it, count = None, False, 0
        for line in self.lines:
            if line.startswith(("fn=", "cfn=")):
                number, _, name = line.partition("=")[2].partition(" ")
                if name.partition("'")[0] == function:
                    mark = number
                of_it = line.startswith("cfn=") and number == mark
            elif of_it and line.startswith("calls="):
                count += int(line[len("calls=") :].split()[0])
        if not count:
            raise SystemExit(f"bench: {function} was never called; is the program stripped?")
        return count
