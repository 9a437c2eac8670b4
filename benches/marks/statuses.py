"""`status` beside a bare hyper server, and beside Redis itself."""

import random
import subprocess

import load
import orders
import programs
from mark import Mark

ORDERS = 10_000


def marks(tools):
    """One ID and a hundred, from the cache in the process."""
    for count, least in ((1, 0.7), (100, 0.4)):
        with tools.folder() as folder, orders.gateway(tools, folder, ORDERS) as gateway:
            bodies = questions(gateway, count)
            body = programs.post_raw(gateway.url, dict(pair.split("=") for pair in bodies[0].split("&")))
            traffic = load.Load(folder, bodies, 64, tools.seconds, tools.client_core)
            with programs.peer_http(tools.peer, folder, body, tools.server_core) as peer:
                traffic.run(gateway.url, 2)
                ratio, ours, theirs = load.compare(
                    lambda: answered(traffic, gateway, body), lambda: answered(traffic, peer, body), tools.rounds
                )
            gateway.verify()
        name = "status, 1 ID" if count == 1 else f"status, {count} IDs"
        words = f"{1e6 / ours:.1f} us of its core, beside {1e6 / theirs:.1f} us of a bare hyper with the same {len(body)} bytes"
        yield Mark(name, ratio, least, words)


def answered(traffic, server, body):
    """Answers for each second of the server's core; they must be whole ones.

    By the core's time and not the clock's: the load has only one core itself, and is what limits the peer.
    """
    used = server.cpu_seconds()
    result = traffic.run(server.url)
    used = server.cpu_seconds() - used
    if not 0.9 < result["bytes"] / result["requests"] / (len(body) + 110) < 1.1 or b'"error"' in body:
        raise SystemExit(f"bench: {server.name} does not answer as it should")
    return result["requests"] / used


def redis_marks(tools):
    """One ID from a cache in Redis, beside redis-benchmark's GET of a value of that size."""
    with tools.folder() as folder, programs.redis(folder, tools.client_core) as redis:
        top = f'[cache]\nurl = "redis://127.0.0.1:{redis.port}/0"\n'
        with orders.gateway(tools, folder, ORDERS, top) as gateway:
            bodies = questions(gateway, 1)
            traffic = load.Load(folder, bodies, 64, tools.seconds, tools.client_core)
            traffic.run(gateway.url, 2)
            hits, asked = (gateway.metric("tollgate_status_cache_total", **labels) for labels in ({"outcome": "hit"}, {}))
            if hits < 0.8 * asked:
                raise SystemExit(f"bench: only {hits:.0f} of {asked:.0f} statuses came from Redis")
            ratio, ours, theirs = load.compare(
                lambda: traffic.run(gateway.url)["rate"], lambda: redis_get(tools, redis), tools.rounds
            )
            gateway.verify()
    words = f"{ours:,.0f}/s beside {theirs:,.0f}/s of redis-benchmark GET"
    yield Mark("status, 1 ID, Redis", ratio, 0.7, words)


def redis_get(tools, redis):
    """GETs per second, on as many connections as the gateway's load has, each with one request under way."""
    at = ["taskset", "-c", str(tools.server_core), "redis-benchmark", "-p", str(redis.port), "-c", "64", "--csv"]
    size = ["-d", "120", "-r", str(ORDERS)]
    subprocess.run([*at, *size, "-n", str(4 * ORDERS), "-t", "set"], check=True, capture_output=True)
    output = subprocess.run(
        [*at, *size, "-n", str(60_000 * tools.seconds), "-t", "get"], check=True, capture_output=True, text=True
    ).stdout
    return float(output.splitlines()[-1].split(",")[1].strip('"'))


def questions(gateway, count):
    """Calls for random orders; a hundred differ, as a script would have it."""
    drawn = random.Random(1)
    known = range(1, ORDERS + 1)
    if count == 1:
        return [f"key={gateway.client}&action=status&order={drawn.choice(known)}" for _ in range(5000)]
    lists = (",".join(map(str, drawn.sample(known, count))) for _ in range(500))
    return [f"key={gateway.client}&action=status&orders={ids}" for ids in lists]
