"""A gateway that holds orders, and the mark for placing them."""

import contextlib
import json
import pathlib

import load
import programs
from mark import Mark

UNLIMITED = "requests_per_second = 10000\nburst = 10000\nmax_in_flight = 64\n"
AT_ONCE = '[dispatch]\nwait = "0s"\n'


def services(folder, count):
    """A panel's list of so many services, written as a file."""
    listed = [
        {
            "service": number,
            "name": f"Instagram Followers [Real] [Refill 30 Days] [Max 100K] #{number}",
            "type": "Default",
            "category": f"Instagram Followers, part {number % 50}",
            "rate": f"{number % 100 / 1000 + 0.01:.3f}",
            "min": "10",
            "max": "100000",
            "refill": True,
            "cancel": True,
        }
        for number in range(1, count + 1)
    ]
    file = pathlib.Path(folder) / "services.json"
    file.write_text(json.dumps(listed))
    return file


@contextlib.contextmanager
def gateway(tools, folder, count, top="", listed=10):
    """A gateway with `count` orders that are placed upstream and stay active."""
    with (
        programs.Sandbox(tools.tollgate, folder, tools.client_core, services(folder, listed)) as sandbox,
        programs.Gateway(tools.tollgate, folder, sandbox, tools.server_core, UNLIMITED, AT_ONCE + top) as running,
    ):
        place(running, folder, count)
        yield running


def adds(gateway, count):
    """So many calls that each place an order of their own."""
    for number in range(count):
        link = f"https%3A%2F%2Finstagram.example%2Fp%2F{number}"
        yield f"key={gateway.client}&action=add&service=1&quantity=1000&link={link}"


def place(gateway, folder, count):
    """Places at least `count` orders, and waits until all of them are upstream."""
    traffic = load.Load(folder, adds(gateway, 10_000), 64, 1)
    while newest(gateway) < count:
        traffic.run(gateway.url)
    programs.wait_until(
        "the orders to be placed",
        lambda: not any(listed(gateway, "--state", state, "--limit", "1") for state in ("queued", "sending")),
        600,
    )


def listed(gateway, *arguments):
    return json.loads(gateway.verb("orders", "list", "--json", *arguments))


def newest(gateway):
    """The newest order's ID; every order so far has one up to it."""
    return next((order["order"] for order in listed(gateway, "--limit", "1")), 0)


def marks(tools):
    """`add` that answers as soon as the order is durable, beside the same rows written by a bare group commit.

    The upstream lets one call out in a hundred seconds, so that this is the price of taking orders and not of sending
    them, which the probe does not do.
    """
    ratios = []
    for _ in range(tools.rounds):
        with tools.folder() as folder:
            theirs = tools.run_peer("commits", folder, str(tools.seconds), "64")
        with tools.folder() as folder:
            ours = taken_per_second(tools, folder)
        ratios.append((ours / theirs, ours, theirs))
    ratio, ours, theirs = sorted(ratios)[len(ratios) // 2]
    words = f"{ours:,.0f}/s beside {theirs:,.0f}/s of a bare group commit, 64 writers each"
    yield Mark("add, durable", ratio, 0.4, words)


def taken_per_second(tools, folder):
    slow = "requests_per_second = 0.01\nburst = 1\n"
    with (
        programs.Sandbox(tools.tollgate, folder, tools.client_core, services(folder, 10)) as sandbox,
        programs.Gateway(tools.tollgate, folder, sandbox, None, slow, AT_ONCE) as running,
    ):
        before = newest(running)
        rate = load.Load(folder, adds(running, 10_000), 64, tools.seconds).run(running.url)["rate"]
        taken = newest(running) - before
        if taken < 0.99 * rate * tools.seconds:
            raise SystemExit(f"bench: {taken} orders were taken, far fewer than were answered")
        running.verify()
        return rate
