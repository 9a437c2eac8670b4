"""`add` on PostgreSQL, beside pgbench running the same transaction with the same number of clients."""

import pathlib
import re
import subprocess

import load
import orders
import programs
from mark import Mark

CLIENTS = 64
SLOW = 'requests_per_second = "0.5"\nburst = 1\n'

# The rows of `add`: the parameters of a prepared statement, and one call of the schema's function. {account}: which row of
# clients is charged. A colon before a word is a variable to pgbench.
TRANSACTION = """\\set token random(1, 9223372036854775807)
\\set number random(1, 99999999)
SELECT result, new_id FROM place_order(of_client => {account}, at_time => 1800000000000, day_start => 1799971200000,
    order_token => decode(md5(:token::text), 'hex'), order_service => 1, order_kind => 'Default',
    order_params => '{{"link":"https://instagram.example/p/' || :number::text
        || '","quantity": 1000,"drip_feed": null,"fields":[],"units": 1000}}',
    order_charge => 120000000, claimed_until => 1800000060000, first_line => 'accepted, charged 1.2',
    request => NULL, request_print => NULL, request_since => NULL, token_lock => :token, gateway => 'pgbench');
"""


def marks(tools):
    """Each client with an account of its own; and all of them with one, whose row each transaction locks."""
    with (
        tools.folder() as folder,
        programs.Postgres(folder) as server,
        programs.Sandbox(tools.tollgate, folder, services=orders.services(folder, 10)) as sandbox,
        programs.Gateway(tools.tollgate, folder, sandbox, None, SLOW, orders.AT_ONCE, server.url) as gateway,
    ):
        keys = [gateway.client] + [gateway.new_client(f"reseller {number}") for number in range(1, CLIENTS)]
        for name, accounts in (("a client's own account each", CLIENTS), ("one account", 1)):
            script = pathlib.Path(folder) / "place.sql"
            script.write_text(TRANSACTION.format(account=":client_id + 1" if accounts > 1 else "1"))
            calls = (adds(keys[:accounts], 6_400))
            traffic = load.Load(folder, calls, CLIENTS, tools.seconds)
            ours = lambda: taken_per_second(traffic, gateway, server)
            theirs = lambda: pgbench(tools, server, script)
            ratio, rate, peer = load.compare(ours, theirs, tools.rounds)
            words = f"{rate:,.0f}/s beside {peer:,.0f}/s of pgbench, {CLIENTS} clients each"
            yield Mark(f"add, PostgreSQL, {name}", ratio, 0.5, words)
        gateway.verify()


def adds(keys, count):
    for number in range(count):
        link = f"https%3A%2F%2Finstagram.example%2Fp%2F{number:08}"
        yield f"key={keys[number % len(keys)]}&action=add&service=1&quantity=1000&link={link}"


def taken_per_second(traffic, gateway, server):
    count = "SELECT count(*) FROM orders"
    before = int(server.psql("postgres", count))
    rate = traffic.run(gateway.url)["rate"]
    taken = int(server.psql("postgres", count)) - before
    if taken < 0.99 * rate * traffic.seconds:
        raise SystemExit(f"bench: {taken} orders were taken, far fewer than were answered")
    return rate


def pgbench(tools, server, script):
    command = [server.programs / "pgbench", "-n", "-M", "prepared", "-f", script, "-c", str(CLIENTS), "-j", "2"]
    command += ["-T", str(tools.seconds), "-h", "127.0.0.1", "-p", str(server.port), "-U", "tollgate", "postgres"]
    done = subprocess.run(command, capture_output=True, text=True)
    found = re.search(r"^tps = ([0-9.]+)", done.stdout, re.MULTILINE)
    if done.returncode or not found or not re.search(r"failed transactions: 0 ", done.stdout):
        raise SystemExit(f"bench: pgbench: {done.stdout}{done.stderr[:1000]}")
    return float(found.group(1))
