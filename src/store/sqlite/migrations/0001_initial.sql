-- Money is a whole number of 10^-8 of the panel's currency, so that SQL can add and check it exactly.
-- Times are milliseconds since 1970-01-01 UTC. Decimals in another currency or of percentages are text.

-- The store itself: one row.
CREATE TABLE store (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    -- Prefix of what a shared cache holds of this store: another store must never be taken for it.
    id TEXT NOT NULL,
    -- Counts changes to clients and keys.
    access_version INTEGER NOT NULL,
    -- Kept here and not derived from the orders, so that no ID is ever given out twice.
    next_order_id INTEGER NOT NULL CHECK (next_order_id BETWEEN 1 AND 2147483648),
    next_refill_id INTEGER NOT NULL CHECK (next_refill_id BETWEEN 1 AND 2147483648)
) STRICT;

CREATE TABLE clients (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    markup TEXT,
    rps INTEGER,
    credit INTEGER NOT NULL CHECK (credit >= 0),
    daily_limit INTEGER CHECK (daily_limit >= 0),
    allow_ips TEXT NOT NULL,
    allow_services TEXT NOT NULL,
    disabled INTEGER NOT NULL CHECK (disabled IN (0, 1)),
    -- Always the sum of the client's ledger; kept beside it so that a charge need not add it up.
    -- No CHECK against the credit: lowering the credit below a debt is allowed.
    balance INTEGER NOT NULL
) STRICT;

CREATE TABLE keys (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    client INTEGER NOT NULL REFERENCES clients (id),
    -- SHA-256: the key itself is never stored. A revoked key keeps its row, so that it can't come back.
    hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    label TEXT NOT NULL,
    read_only INTEGER NOT NULL CHECK (read_only IN (0, 1)),
    created_at INTEGER NOT NULL,
    revoked INTEGER NOT NULL DEFAULT 0 CHECK (revoked IN (0, 1))
) STRICT;
CREATE INDEX keys_by_client ON keys (client);

CREATE TABLE orders (
    id INTEGER PRIMARY KEY CHECK (id BETWEEN 1 AND 2147483647),
    version INTEGER NOT NULL CHECK (version >= 1),
    token BLOB NOT NULL UNIQUE CHECK (length(token) = 16),
    client INTEGER NOT NULL REFERENCES clients (id),
    service INTEGER NOT NULL,
    kind TEXT NOT NULL,
    params TEXT NOT NULL,
    charge INTEGER NOT NULL CHECK (charge >= 0),
    refunded INTEGER NOT NULL CHECK (refunded BETWEEN 0 AND charge),
    cost INTEGER,
    created_at INTEGER NOT NULL,
    queued_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'sending', 'placed', 'uncertain', 'closed')),
    provider TEXT,
    upstream_service TEXT,
    -- Text: some panels use letters.
    upstream_order TEXT,
    closed_at INTEGER,
    status TEXT NOT NULL
        CHECK (status IN ('Pending', 'In progress', 'Processing', 'Completed', 'Partial', 'Canceled')),
    word TEXT,
    start_count INTEGER,
    remains INTEGER,
    first_charge TEXT,
    upstream_charge TEXT,
    polled_at INTEGER,
    changed_at INTEGER,
    silent_since INTEGER,
    silence_told INTEGER CHECK (silence_told IN (0, 1)),
    attempts INTEGER NOT NULL,
    tried TEXT NOT NULL,
    round INTEGER NOT NULL,
    -- How far its client's wish to end it has got.
    cancel TEXT NOT NULL CHECK (cancel IN ('none', 'wished', 'forwarded')),
    refusal TEXT,
    due_at INTEGER,
    -- Each state carries exactly what belongs to it.
    CHECK ((provider IS NULL) = (upstream_service IS NULL)),
    CHECK ((closed_at IS NOT NULL) = (state = 'closed')),
    CHECK (CASE state
        WHEN 'queued' THEN provider IS NULL AND upstream_order IS NULL
        WHEN 'placed' THEN provider IS NOT NULL AND upstream_order IS NOT NULL
        WHEN 'closed' THEN (provider IS NULL) = (upstream_order IS NULL)
        ELSE provider IS NOT NULL AND upstream_order IS NULL
    END),
    CHECK ((silent_since IS NULL) = (silence_told IS NULL)),
    -- Nobody would look at it again.
    CHECK (state NOT IN ('queued', 'placed') OR due_at IS NOT NULL)
) STRICT;
-- One upstream order belongs to at most one of ours.
CREATE UNIQUE INDEX orders_by_upstream ON orders (provider, upstream_order) WHERE upstream_order IS NOT NULL;
-- The queue, oldest first; with all that is asked of it in it, so that those put off cost no look at their rows.
CREATE INDEX orders_queued ON orders (id, due_at, state) WHERE state = 'queued';
CREATE INDEX orders_polled ON orders (provider, due_at) WHERE state IN ('placed', 'closed') AND due_at IS NOT NULL;
-- Those whose upstream has yet to be told that their client wants them canceled.
CREATE INDEX orders_to_cancel ON orders (id) WHERE cancel = 'wished' AND state = 'placed';
CREATE INDEX orders_by_state ON orders (state, provider);
CREATE INDEX orders_by_client ON orders (client);
CREATE INDEX orders_by_time ON orders (created_at);

CREATE TABLE attempts (
    order_id INTEGER NOT NULL REFERENCES orders (id),
    number INTEGER NOT NULL CHECK (number >= 1),
    provider TEXT NOT NULL,
    upstream_service TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    -- The versions of the order say what came before what, also within one millisecond.
    started_version INTEGER NOT NULL,
    finished_at INTEGER,
    finished_version INTEGER,
    outcome TEXT CHECK (outcome IN ('accepted', 'rejected', 'not_sent', 'ambiguous')),
    detail TEXT,
    PRIMARY KEY (order_id, number),
    CHECK ((finished_at IS NULL) = (outcome IS NULL) AND (finished_at IS NULL) = (finished_version IS NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE history (
    order_id INTEGER NOT NULL REFERENCES orders (id),
    version INTEGER NOT NULL,
    line INTEGER NOT NULL,
    at INTEGER NOT NULL,
    text TEXT NOT NULL,
    alert INTEGER NOT NULL CHECK (alert IN (0, 1)),
    PRIMARY KEY (order_id, version, line)
) STRICT, WITHOUT ROWID;
-- Those that somebody has to look at are few.
CREATE INDEX history_alerts ON history (at, order_id, version, line) WHERE alert = 1;

-- Refills of placed orders: each is sent once, after its row is durable.
CREATE TABLE refills (
    id INTEGER PRIMARY KEY CHECK (id BETWEEN 1 AND 2147483647),
    version INTEGER NOT NULL CHECK (version >= 1),
    order_id INTEGER NOT NULL REFERENCES orders (id),
    client INTEGER NOT NULL REFERENCES clients (id),
    provider TEXT NOT NULL,
    upstream_order TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('sending', 'accepted', 'uncertain', 'ended')),
    -- Text: some panels use the order's own ID.
    upstream_refill TEXT,
    status TEXT NOT NULL
        CHECK (status IN ('Pending', 'In progress', 'Completed', 'Rejected', 'Error', 'Canceled')),
    -- What the upstream last said, as it said it.
    word TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    polled_at INTEGER,
    due_at INTEGER,
    CHECK (CASE state
        WHEN 'accepted' THEN upstream_refill IS NOT NULL AND due_at IS NOT NULL
        WHEN 'ended' THEN due_at IS NULL
        ELSE upstream_refill IS NULL AND due_at IS NULL
    END),
    CHECK ((state = 'ended') = (status IN ('Completed', 'Rejected', 'Error', 'Canceled')))
) STRICT;
-- One upstream refill belongs to at most one of ours.
CREATE UNIQUE INDEX refills_by_upstream ON refills (provider, upstream_refill) WHERE upstream_refill IS NOT NULL;
CREATE INDEX refills_polled ON refills (provider, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX refills_sending ON refills (id) WHERE state = 'sending';
CREATE INDEX refills_by_order ON refills (order_id);

CREATE TABLE ledger (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    client INTEGER NOT NULL REFERENCES clients (id),
    at INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('deposit', 'withdrawal', 'charge', 'refund', 'correction')),
    amount INTEGER NOT NULL,
    -- The balance after this entry, and the credit that was in force then.
    balance INTEGER NOT NULL,
    credit INTEGER NOT NULL,
    order_id INTEGER REFERENCES orders (id),
    reference TEXT,
    note TEXT,
    CHECK ((order_id IS NOT NULL) = (kind IN ('charge', 'refund'))),
    CHECK (CASE kind
        WHEN 'deposit' THEN amount > 0
        WHEN 'refund' THEN amount > 0
        WHEN 'withdrawal' THEN amount < 0
        WHEN 'charge' THEN amount <= 0
        ELSE 1
    END)
) STRICT;
CREATE INDEX ledger_by_client ON ledger (client);
-- Holds all that the daily limit and the sums of an account are computed from.
CREATE INDEX ledger_sums ON ledger (client, kind, at, amount);
CREATE INDEX ledger_by_order ON ledger (order_id) WHERE order_id IS NOT NULL;
CREATE UNIQUE INDEX ledger_references ON ledger (client, reference) WHERE reference IS NOT NULL;
-- A mistake is put right by another entry, never by changing one.
CREATE TRIGGER ledger_keeps_entries BEFORE UPDATE ON ledger
BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
CREATE TRIGGER ledger_loses_nothing BEFORE DELETE ON ledger
BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;

-- What clients called their requests, so that a repeat is known.
CREATE TABLE client_requests (
    client INTEGER NOT NULL REFERENCES clients (id),
    request_id TEXT NOT NULL,
    fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 32),
    order_id INTEGER NOT NULL REFERENCES orders (id),
    at INTEGER NOT NULL,
    PRIMARY KEY (client, request_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX client_requests_by_time ON client_requests (at);

CREATE TABLE catalogues (
    provider TEXT PRIMARY KEY,
    fetched_at INTEGER NOT NULL
) STRICT;

CREATE TABLE upstream_services (
    provider TEXT NOT NULL REFERENCES catalogues (provider),
    -- Its place in the upstream's list.
    position INTEGER NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    type_text TEXT NOT NULL,
    category TEXT NOT NULL,
    rate TEXT NOT NULL,
    min INTEGER NOT NULL,
    max INTEGER NOT NULL,
    refill INTEGER NOT NULL,
    cancel INTEGER NOT NULL,
    dripfeed INTEGER NOT NULL,
    description TEXT,
    PRIMARY KEY (provider, position)
) STRICT, WITHOUT ROWID;

-- What each upstream ID was last believed to stand for; a listed service that says otherwise is off sale until the
-- operator confirms it. Rows stay when a service leaves the list: that is when its ID may be given to another.
CREATE TABLE known_services (
    provider TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    category TEXT NOT NULL,
    type_text TEXT NOT NULL,
    PRIMARY KEY (provider, id)
) STRICT, WITHOUT ROWID;

-- Upstream services by which an order cost more than it may: off sale until their rate is another than this, or the
-- operator confirms them.
CREATE TABLE losses (
    provider TEXT NOT NULL,
    service TEXT NOT NULL,
    rate TEXT NOT NULL,
    order_id INTEGER NOT NULL REFERENCES orders (id),
    charge INTEGER NOT NULL,
    cost INTEGER NOT NULL,
    PRIMARY KEY (provider, service)
) STRICT, WITHOUT ROWID;

-- Providers that seem to be another account's: no order goes there, and none changes by what they say.
CREATE TABLE freezes (
    provider TEXT PRIMARY KEY,
    -- The currency that its balance named; NULL where it knew our orders no more.
    currency TEXT,
    since INTEGER NOT NULL,
    -- When the operator said that the account is the right one.
    lifted_at INTEGER
) STRICT;

-- What the running gateway knows of each provider, for the command line to show.
CREATE TABLE providers (
    provider TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    balance TEXT,
    currency TEXT NOT NULL,
    last_sync_at INTEGER,
    services INTEGER NOT NULL,
    in_flight INTEGER NOT NULL,
    failures INTEGER NOT NULL
) STRICT;

-- Requests from the command line to the running gateway. AUTOINCREMENT: a taken answer's number is never
-- given to another request.
CREATE TABLE gateway_requests (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    body TEXT NOT NULL,
    posted_at INTEGER NOT NULL,
    answer TEXT,
    answered_at INTEGER
) STRICT;

-- Where the operator lets no order leave; '' is everywhere.
CREATE TABLE pauses (
    provider TEXT PRIMARY KEY,
    paused_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What the gateway serves, as JSON, for its next start and for the command line: one row at most.
CREATE TABLE running (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    document TEXT NOT NULL
) STRICT;
