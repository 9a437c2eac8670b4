"""Fills a store that `scale make` made with orders, as years of use would: nearly all of them closed.

One SQL text for both engines; balances, versions and IDs are such that `tollgate verify` finds nothing.
"""

import sqlite3

# As in benches/scale/main.rs.
NOW = 1_800_000_000_000
CLIENTS = 100
CHARGE = 120_000_000
# Milliseconds between two orders, whatever their number: a larger store is an older one.
PACE = 10_000
DAY = 86_400_000

# Of 97 orders one is placed and due; of 23 one was canceled and refunded; what closed in the last 30 days is watched,
# and due long after the measurement. A client's name for a request is kept for a day.
ORDERS = """
INSERT INTO orders (id, version, token, client, service, kind, params, charge, refunded, cost, created_at, queued_at,
    updated_at, state, provider, upstream_service, upstream_order, closed_at, status, word, start_count, remains,
    first_charge, upstream_charge, polled_at, changed_at, attempts, tried, round, cancel, due_at)
SELECT n, CASE WHEN active THEN 4 ELSE 5 END, {token}, (n - 1) % {clients} + 1, 1, 'Default',
    '{{"link":"https://instagram.example/p/' || n || '","quantity":1000,"drip_feed":null,"fields":[],"units":1000}}',
    {charge}, CASE WHEN canceled THEN {charge} ELSE 0 END, 97200000, at, at, at + 60000,
    CASE WHEN active THEN 'placed' ELSE 'closed' END, 'alpha', '101', {upstream},
    CASE WHEN active THEN NULL ELSE at + 60000 END,
    CASE WHEN active THEN 'In progress' WHEN canceled THEN 'Canceled' ELSE 'Completed' END,
    CASE WHEN active THEN 'In progress' WHEN canceled THEN 'Canceled' ELSE 'Completed' END,
    5, CASE WHEN active THEN 1000 WHEN canceled THEN 1000 ELSE 0 END, '0.90', '0.90', at + 60000, at + 60000,
    1, '[]', 0, 'none',
    CASE WHEN active THEN {now} - 1000000 + n % 1000000 WHEN at > {month_ago} THEN {much_later} + n END
FROM ({numbers}) AS numbered;
INSERT INTO attempts (order_id, number, provider, upstream_service, started_at, started_version, finished_at,
    finished_version, outcome, detail)
SELECT n, 1, 'alpha', '101', at, 2, at + 500, 3, 'accepted', {upstream} FROM ({numbers}) AS numbered;
INSERT INTO history (order_id, version, line, at, text, alert)
SELECT n, version, 0, at, text, {no} FROM ({numbers}) AS numbered, (
    SELECT 1 AS version, 'accepted, charged 1.2' AS text UNION ALL SELECT 2, 'attempt 1: alpha, service 101'
    UNION ALL SELECT 3, 'alpha took it as ' UNION ALL SELECT 4, 'in progress' UNION ALL SELECT 5, 'ended') AS lines
WHERE version < 5 OR NOT active ORDER BY n, version;
INSERT INTO ledger (client, at, kind, amount, balance, credit, order_id)
SELECT client, at, kind, amount, deposit + sum(amount) OVER (PARTITION BY client ORDER BY n, kind), 0, n
FROM (SELECT n, (n - 1) % {clients} + 1 AS client, at, 'charge' AS kind, -{charge} AS amount FROM ({numbers}) AS taken
    UNION ALL SELECT n, (n - 1) % {clients} + 1, at + 60000, 'refund', {charge} FROM ({numbers}) AS given WHERE canceled)
    AS entries, (SELECT min(balance) AS deposit FROM ledger) AS first
ORDER BY n, kind;
INSERT INTO client_requests (client, request_id, fingerprint, order_id, at)
SELECT (n - 1) % {clients} + 1, {request}, {print}, n, at FROM ({numbers}) AS numbered WHERE at > {now} - 86400000;
UPDATE clients SET balance = (SELECT sum(amount) FROM ledger WHERE client = clients.id);
"""

NUMBERS = """SELECT n, {now} - ({orders} - n + 1) * {pace} AS at, n % 97 = 0 AS active,
    n % 97 <> 0 AND n % 23 = 1 AS canceled FROM {series}"""


def text(orders, series, **words):
    sizes = {"orders": orders, "now": NOW, "pace": PACE, "month_ago": NOW - 30 * DAY, "much_later": NOW + 1000 * DAY}
    numbers = NUMBERS.format(series=series.format(orders=orders), **sizes)
    return ORDERS.format(numbers=numbers, clients=CLIENTS, charge=CHARGE, **sizes, **words)


def sqlite(path, orders):
    """Fills a SQLite file; not durable until it is done."""
    counted = "(WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted LIMIT {orders}) SELECT n FROM counted)"
    script = text(
        orders,
        counted,
        token="randomblob(16)",
        upstream="900000000 + n",
        no="0",
        request="lower(hex(randomblob(16)))",
        print="randomblob(32)",
    )
    store = sqlite3.connect(path)
    store.executescript(f"""PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -2000000; BEGIN; {script}
        UPDATE store SET next_order_id = {orders} + 1; COMMIT; PRAGMA journal_mode = WAL;""")
    store.close()


def postgres(server, orders):
    """Fills a PostgreSQL database, vacuums it and gathers its statistics, as the server does by itself after a while."""
    script = text(
        orders,
        "generate_series(1::bigint, {orders}) AS series (n)",
        token="decode(md5(random()::text || n), 'hex')",
        upstream="900000000 + n",
        no="false",
        request="md5(random()::text || n)",
        print="decode(md5(n::text) || md5('x' || n), 'hex')",
    )
    # By synchronous commits: VACUUM marks no page as visible to all while a commit of that time is not on the disk.
    server.psql("postgres", f"BEGIN; {script} SELECT setval('order_ids', {orders}); COMMIT; VACUUM ANALYZE; CHECKPOINT;")
