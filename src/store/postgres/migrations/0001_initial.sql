-- Money is a whole number of 10^-8 of the panel's currency, so that SQL can add and check it exactly.
-- Times are milliseconds since 1970-01-01 UTC. Decimals in another currency or of percentages are text.

-- The store itself: one row.
CREATE TABLE store (
    one bigint PRIMARY KEY CHECK (one = 1),
    -- Prefix of what a shared cache holds of this store: another store must never be taken for it.
    id text NOT NULL,
    -- Counts changes to clients and keys.
    access_version bigint NOT NULL,
    -- Nothing up to here is searched for: when this store took a backup's place, or what the clock showed before it was
    -- set back.
    restored_at bigint,
    -- Counts up when nothing may be believed any more that a shared cache holds.
    cache_epoch bigint NOT NULL DEFAULT 0,
    -- Count changes to lists, doubts and freezes, and to the configurations that gateways serve.
    catalogues_version bigint NOT NULL DEFAULT 0,
    configuration_version bigint NOT NULL DEFAULT 0,
    -- How often deadlines were moved.
    timeline bigint NOT NULL DEFAULT 0
);

-- The present by this server's clock, in milliseconds.
CREATE FUNCTION clock_ms() RETURNS bigint LANGUAGE sql AS $$
    SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint
$$;

-- The gateways that serve this store. A place that is not kept is over.
CREATE TABLE gateways (
    id text PRIMARY KEY,
    -- A digest of the configuration that it serves.
    serving text NOT NULL,
    -- What it last told the others, and in which order they came.
    word bigint NOT NULL,
    came bigint NOT NULL,
    seen_until bigint NOT NULL
);
CREATE SEQUENCE gateway_comings AS bigint;

-- Work that one gateway does for all, for a time.
CREATE TABLE turns (
    name text PRIMARY KEY,
    holder text NOT NULL,
    ends_at bigint NOT NULL
);

-- Sequences, so that no ID is ever given out twice and none waits for another's commit.
CREATE SEQUENCE order_ids AS bigint MINVALUE 1 MAXVALUE 2147483647;
CREATE SEQUENCE refill_ids AS bigint MINVALUE 1 MAXVALUE 2147483647;

CREATE TABLE clients (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    markup text,
    rps bigint,
    credit bigint NOT NULL CHECK (credit >= 0),
    daily_limit bigint CHECK (daily_limit >= 0),
    allow_ips text NOT NULL,
    allow_services text NOT NULL,
    disabled boolean NOT NULL,
    -- Always the sum of the client's ledger; kept beside it so that a charge need not add it up.
    -- No CHECK against the credit: lowering the credit below a debt is allowed.
    balance bigint NOT NULL,
    -- Charges less refunds in the UTC day that begins at `spent_day`, which is the day of the last of them: always the sum of
    -- those in the ledger. Another day's is added up once, when that day has its first entry.
    spent_day bigint,
    spent bigint NOT NULL DEFAULT 0
);

CREATE TABLE keys (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    client bigint NOT NULL REFERENCES clients (id),
    -- SHA-256: the key itself is never stored. A revoked key keeps its row, so that it can't come back.
    hash bytea NOT NULL UNIQUE CHECK (length(hash) = 32),
    label text NOT NULL,
    read_only boolean NOT NULL,
    created_at bigint NOT NULL,
    revoked boolean NOT NULL DEFAULT false
);
CREATE INDEX keys_by_client ON keys (client);

CREATE TABLE orders (
    id bigint PRIMARY KEY CHECK (id BETWEEN 1 AND 2147483647),
    version bigint NOT NULL CHECK (version >= 1),
    token bytea NOT NULL UNIQUE CHECK (length(token) = 16),
    client bigint NOT NULL REFERENCES clients (id),
    service bigint NOT NULL,
    kind text NOT NULL,
    params text NOT NULL,
    charge bigint NOT NULL CHECK (charge >= 0),
    refunded bigint NOT NULL CHECK (refunded BETWEEN 0 AND charge),
    cost bigint,
    created_at bigint NOT NULL,
    queued_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    state text NOT NULL CHECK (state IN ('queued', 'sending', 'placed', 'uncertain', 'closed')),
    provider text,
    upstream_service text,
    -- Text: some panels use letters.
    upstream_order text,
    closed_at bigint,
    status text NOT NULL
        CHECK (status IN ('Pending', 'In progress', 'Processing', 'Completed', 'Partial', 'Canceled')),
    word text,
    start_count bigint,
    remains bigint,
    first_charge text,
    upstream_charge text,
    polled_at bigint,
    changed_at bigint,
    silent_since bigint,
    silence_told boolean,
    attempts bigint NOT NULL,
    tried text NOT NULL,
    round bigint NOT NULL,
    -- How far its client's wish to end it has got.
    cancel text NOT NULL CHECK (cancel IN ('none', 'wished', 'forwarded')),
    refusal text,
    -- While it is being sent: when the time for that is over.
    due_at bigint,
    -- The gateway that has it in hand while it is queued; '' is none.
    holder text NOT NULL DEFAULT '',
    -- Until when a gateway has told its upstream, or is telling it, of its client's wish; and how often that gave no answer
    -- to it.
    cancel_due bigint,
    cancel_tries bigint NOT NULL DEFAULT 0,
    -- When it is taken up again, for the index of the queue: no index holds `due_at`, which each poll changes, so that a
    -- poll writes a version of the row into its own page and into no index.
    queue_due bigint GENERATED ALWAYS AS (CASE WHEN state = 'queued' THEN due_at END) STORED,
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
    -- Room in each page for the versions that polls write.
) WITH (fillfactor = 90);
-- Finds a row by a page of its own, however many there are; in the primary key's tree the way grows longer.
CREATE INDEX orders_by_id ON orders USING hash (id);
-- One upstream order belongs to at most one of ours.
CREATE UNIQUE INDEX orders_by_upstream ON orders (provider, upstream_order) WHERE upstream_order IS NOT NULL;
-- The queue, oldest first; with all that is asked of it in it, so that those put off cost no look at their rows.
CREATE INDEX orders_queued ON orders (id, queue_due, state) WHERE state = 'queued';
-- Those whose upstream has yet to be told that their client wants them canceled.
CREATE INDEX orders_to_cancel ON orders (id) WHERE cancel = 'wished' AND state = 'placed';
CREATE INDEX orders_by_state ON orders (state, provider);
CREATE INDEX orders_by_client ON orders (client);
CREATE INDEX orders_by_time ON orders (created_at);
-- Each run of a drip-feed is an order of its own upstream: nothing is searched for among those.
CREATE INDEX orders_drip_feeds ON orders (provider, closed_at) WHERE position('"drip_feed":{' IN params) > 0;

-- When orders that their upstreams know are polled next. Always what their rows say, which triggers see to: whoever
-- changes a row here holds the order's.
CREATE TABLE polls (
    provider text NOT NULL,
    due_at bigint NOT NULL,
    order_id bigint NOT NULL,
    -- Since when nobody has asked; none where it is closed and only watched.
    asked_at bigint,
    PRIMARY KEY (provider, due_at, order_id)
    -- What polls leave behind lies before what is due next, in the way of each look for it: it is cleared away soon.
) WITH (autovacuum_vacuum_scale_factor = 0.02);

CREATE FUNCTION keep_polls() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    is_polled boolean := NEW.upstream_order IS NOT NULL AND NEW.due_at IS NOT NULL;
    asked bigint := CASE WHEN NEW.state = 'placed' THEN coalesce(NEW.polled_at, NEW.created_at) END;
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.upstream_order IS NOT NULL AND OLD.due_at IS NOT NULL THEN
        IF is_polled THEN
            UPDATE polls SET provider = NEW.provider, due_at = NEW.due_at, asked_at = asked
            WHERE provider = OLD.provider AND due_at = OLD.due_at AND order_id = NEW.id;
        ELSE
            DELETE FROM polls WHERE provider = OLD.provider AND due_at = OLD.due_at AND order_id = NEW.id;
        END IF;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'order % is not among the polls', NEW.id;
        END IF;
    ELSIF is_polled THEN
        INSERT INTO polls (provider, due_at, order_id, asked_at) VALUES (NEW.provider, NEW.due_at, NEW.id, asked);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER orders_are_polled AFTER INSERT ON orders FOR EACH ROW
    WHEN (NEW.upstream_order IS NOT NULL) EXECUTE FUNCTION keep_polls();
CREATE TRIGGER orders_stay_polled AFTER UPDATE OF due_at, polled_at, state, provider, upstream_order ON orders FOR EACH ROW
    EXECUTE FUNCTION keep_polls();

CREATE TABLE attempts (
    order_id bigint NOT NULL REFERENCES orders (id),
    number bigint NOT NULL CHECK (number >= 1),
    provider text NOT NULL,
    upstream_service text NOT NULL,
    started_at bigint NOT NULL,
    -- The versions of the order say what came before what, also within one millisecond.
    started_version bigint NOT NULL,
    finished_at bigint,
    finished_version bigint,
    outcome text CHECK (outcome IN ('accepted', 'rejected', 'not_sent', 'ambiguous')),
    detail text,
    PRIMARY KEY (order_id, number),
    CHECK ((finished_at IS NULL) = (outcome IS NULL) AND (finished_at IS NULL) = (finished_version IS NULL))
);

CREATE TABLE history (
    order_id bigint NOT NULL REFERENCES orders (id),
    version bigint NOT NULL,
    line bigint NOT NULL,
    at bigint NOT NULL,
    text text NOT NULL,
    alert boolean NOT NULL,
    PRIMARY KEY (order_id, version, line)
);
-- Those that somebody has to look at are few.
CREATE INDEX history_alerts ON history (at, order_id, version, line) WHERE alert;

-- Refills of placed orders: each is sent once, after its row is durable.
CREATE TABLE refills (
    id bigint PRIMARY KEY CHECK (id BETWEEN 1 AND 2147483647),
    version bigint NOT NULL CHECK (version >= 1),
    order_id bigint NOT NULL REFERENCES orders (id),
    client bigint NOT NULL REFERENCES clients (id),
    provider text NOT NULL,
    upstream_order text NOT NULL,
    state text NOT NULL CHECK (state IN ('sending', 'accepted', 'uncertain', 'ended')),
    -- Text: some panels use the order's own ID.
    upstream_refill text,
    status text NOT NULL
        CHECK (status IN ('Pending', 'In progress', 'Completed', 'Rejected', 'Error', 'Canceled')),
    -- What the upstream last said, as it said it.
    word text,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    polled_at bigint,
    due_at bigint,
    CHECK (CASE state
        WHEN 'accepted' THEN upstream_refill IS NOT NULL AND due_at IS NOT NULL
        WHEN 'ended' THEN due_at IS NULL
        ELSE upstream_refill IS NULL AND due_at IS NULL
    END),
    CHECK ((state = 'ended') = (status IN ('Completed', 'Rejected', 'Error', 'Canceled')))
);
-- One upstream refill belongs to at most one of ours.
CREATE UNIQUE INDEX refills_by_upstream ON refills (provider, upstream_refill) WHERE upstream_refill IS NOT NULL;
CREATE INDEX refills_polled ON refills (provider, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX refills_sending ON refills (id) WHERE state = 'sending';
CREATE INDEX refills_by_order ON refills (order_id);

CREATE TABLE ledger (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    client bigint NOT NULL REFERENCES clients (id),
    at bigint NOT NULL,
    kind text NOT NULL CHECK (kind IN ('deposit', 'withdrawal', 'charge', 'refund', 'correction')),
    amount bigint NOT NULL,
    -- The balance after this entry, and the credit that was in force then.
    balance bigint NOT NULL,
    credit bigint NOT NULL,
    order_id bigint REFERENCES orders (id),
    reference text,
    note text,
    CHECK ((order_id IS NOT NULL) = (kind IN ('charge', 'refund'))),
    CHECK (CASE kind
        WHEN 'deposit' THEN amount > 0
        WHEN 'refund' THEN amount > 0
        WHEN 'withdrawal' THEN amount < 0
        WHEN 'charge' THEN amount <= 0
        ELSE true
    END)
);
CREATE INDEX ledger_by_client ON ledger (client, id);
-- Holds all that the daily limit and the sums of an account are computed from.
CREATE INDEX ledger_sums ON ledger (client, kind, at, amount);
CREATE INDEX ledger_by_order ON ledger (order_id) WHERE order_id IS NOT NULL;
CREATE UNIQUE INDEX ledger_references ON ledger (client, reference) WHERE reference IS NOT NULL;
-- A mistake is put right by another entry, never by changing one.
CREATE FUNCTION refuse_ledger_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only';
END $$;
CREATE TRIGGER ledger_keeps_entries BEFORE UPDATE OR DELETE ON ledger
    FOR EACH ROW EXECUTE FUNCTION refuse_ledger_change();
CREATE TRIGGER ledger_loses_nothing BEFORE TRUNCATE ON ledger
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_ledger_change();

-- What clients called their requests, so that a repeat is known.
CREATE TABLE client_requests (
    client bigint NOT NULL REFERENCES clients (id),
    request_id text NOT NULL,
    fingerprint bytea NOT NULL CHECK (length(fingerprint) = 32),
    order_id bigint NOT NULL REFERENCES orders (id),
    at bigint NOT NULL,
    PRIMARY KEY (client, request_id)
);
CREATE INDEX client_requests_by_time ON client_requests (at);

CREATE TABLE catalogues (
    provider text PRIMARY KEY,
    fetched_at bigint NOT NULL,
    -- Counts changes to the list and to what of it is in doubt.
    version bigint NOT NULL DEFAULT 0
);

CREATE TABLE upstream_services (
    provider text NOT NULL REFERENCES catalogues (provider),
    -- Its place in the upstream's list.
    position bigint NOT NULL,
    id text NOT NULL,
    name text NOT NULL,
    type_text text NOT NULL,
    category text NOT NULL,
    rate text NOT NULL,
    min bigint NOT NULL,
    max bigint NOT NULL,
    refill boolean NOT NULL,
    cancel boolean NOT NULL,
    dripfeed boolean NOT NULL,
    description text,
    PRIMARY KEY (provider, position)
);

-- What each upstream ID was last believed to stand for; a listed service that says otherwise is off sale until the
-- operator confirms it. Rows stay when a service leaves the list: that is when its ID may be given to another.
CREATE TABLE known_services (
    provider text NOT NULL,
    id text NOT NULL,
    name text NOT NULL,
    category text NOT NULL,
    type_text text NOT NULL,
    PRIMARY KEY (provider, id)
);

-- Upstream services by which an order cost more than it may: off sale until their rate is another than this, or the
-- operator confirms them.
CREATE TABLE losses (
    provider text NOT NULL,
    service text NOT NULL,
    rate text NOT NULL,
    order_id bigint NOT NULL REFERENCES orders (id),
    charge bigint NOT NULL,
    cost bigint NOT NULL,
    PRIMARY KEY (provider, service)
);

-- Providers that seem to be another account's: no order goes there, and none changes by what they say.
CREATE TABLE freezes (
    provider text PRIMARY KEY,
    -- The currency that its balance named; NULL where it knew our orders no more.
    currency text,
    since bigint NOT NULL,
    -- When the operator said that the account is the right one.
    lifted_at bigint
);

-- What the running gateways know of each provider, for the command line to show.
CREATE TABLE providers (
    provider text PRIMARY KEY,
    balance text,
    currency text NOT NULL,
    last_sync_at bigint,
    services bigint NOT NULL
);

-- And how each of them gets on with it. Those of gateways that are gone stay until another writes its own.
CREATE TABLE provider_health (
    provider text NOT NULL REFERENCES providers (provider),
    gateway text NOT NULL,
    state text NOT NULL,
    in_flight bigint NOT NULL,
    failures bigint NOT NULL,
    PRIMARY KEY (provider, gateway)
);

-- Requests from the command line to the running gateway. An identity: a taken answer's number is never
-- given to another request.
CREATE TABLE gateway_requests (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    body text NOT NULL,
    posted_at bigint NOT NULL,
    -- The gateway that carries it out.
    holder text,
    answer text,
    answered_at bigint
);

-- Where the operator lets no order leave; '' is everywhere.
CREATE TABLE pauses (
    provider text PRIMARY KEY,
    paused_at bigint NOT NULL
);

-- What the gateway serves, as JSON, for its next start and for the command line: one row at most.
CREATE TABLE running (
    one bigint PRIMARY KEY CHECK (one = 1),
    document text NOT NULL
);

-- Attempts that may have left an order upstream: their outcome was not known when they ended, or a duplicate link
-- after them said that one of them was placed. A row stays when its order is settled, since what the upstream has then
-- is not always known either.
CREATE TABLE lost_attempts (
    order_id bigint NOT NULL REFERENCES orders (id),
    attempt bigint NOT NULL,
    provider text NOT NULL,
    started_at bigint NOT NULL,
    ended_at bigint NOT NULL,
    -- What the upstream takes for it by its list of that time, in its currency.
    cost text,
    -- How often it was searched for, for how many of these IDs were asked for, by how many calls in all, and when last.
    tries bigint NOT NULL DEFAULT 0,
    scans bigint NOT NULL DEFAULT 0,
    calls bigint NOT NULL DEFAULT 0,
    asked_at bigint,
    -- When it is searched for again.
    next_at bigint,
    PRIMARY KEY (order_id, attempt)
);
CREATE INDEX lost_attempts_by_provider ON lost_attempts (provider, ended_at);

-- Since when a provider is another panel: what it said before is not of the same IDs.
CREATE TABLE provider_moves (
    provider text PRIMARY KEY,
    moved_at bigint NOT NULL
);

-- Makes due at once what gateways that are gone had in hand of the queue.
CREATE FUNCTION release(gone text[]) RETURNS void LANGUAGE sql AS $$
    WITH held (held_id) AS (
        SELECT id FROM orders WHERE state = 'queued' AND holder = ANY (gone) AND queue_due > clock_ms()
        ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE orders SET due_at = clock_ms(), holder = '' FROM held WHERE id = held_id
$$;

-- A gateway is there: it keeps its place, or takes one. What the places of others were that are over is cleared away by
-- whoever comes by first.
CREATE FUNCTION attend(
    gateway text, serves text, says bigint, lasts bigint, late_after bigint,
    OUT rank bigint, OUT words bigint[], OUT otherwise bigint, OUT late boolean, OUT epoch bigint, OUT clock bigint,
    OUT catalogues bigint, OUT configuration bigint, OUT deadlines bigint
) LANGUAGE plpgsql AS $$
DECLARE
    gone text[];
    is_new boolean;
    mine bigint;
BEGIN
    clock := clock_ms();
    UPDATE gateways SET serving = serves, word = says, seen_until = clock + lasts
    WHERE id = gateway AND seen_until > clock RETURNING came INTO mine;
    is_new := NOT FOUND;
    WITH ended AS (
        DELETE FROM gateways WHERE id IN (SELECT id FROM gateways WHERE seen_until <= clock FOR UPDATE SKIP LOCKED)
        RETURNING id
    )
    SELECT array_agg(id) INTO gone FROM ended;
    IF is_new THEN
        INSERT INTO gateways (id, serving, word, came, seen_until)
        VALUES (gateway, serves, says, nextval('gateway_comings'), clock + lasts)
        ON CONFLICT (id) DO UPDATE SET serving = excluded.serving, word = excluded.word, came = excluded.came,
            seen_until = excluded.seen_until
        RETURNING came INTO mine;
    END IF;
    IF gone IS NOT NULL THEN
        -- They may not have told a shared cache of what they wrote last.
        UPDATE store SET cache_epoch = cache_epoch + 1;
        PERFORM release(array_remove(gone, gateway));
    END IF;
    SELECT count(*) FILTER (WHERE came < mine), coalesce(array_agg(word ORDER BY came), '{}'),
        count(*) FILTER (WHERE serving <> serves), coalesce(bool_or(seen_until - lasts + late_after < clock), false)
    INTO rank, words, otherwise, late FROM gateways WHERE id <> gateway AND seen_until > clock;
    SELECT cache_epoch, catalogues_version, configuration_version, timeline INTO epoch, catalogues, configuration, deadlines
    FROM store;
END $$;

-- A gateway says good-bye.
CREATE FUNCTION leave(gateway text) RETURNS void LANGUAGE sql AS $$
    DELETE FROM gateways WHERE id = gateway;
    DELETE FROM turns WHERE holder = gateway;
    SELECT release(ARRAY[gateway])
$$;

-- Tokens of orders whose placing was given up before it was known to have taken place: it must not any more.
CREATE TABLE given_up (
    token bytea PRIMARY KEY CHECK (length(token) = 16),
    at bigint NOT NULL
);

-- A client's charges less refunds in the UTC day that begins at `day`, each counted when it was made.
CREATE FUNCTION spent_in(of_client bigint, day bigint) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT (-coalesce(sum(amount), 0))::bigint FROM ledger
    WHERE client = of_client AND kind IN ('charge', 'refund') AND at >= day AND at < day + 86400000
$$;

-- Places an order, all or nothing, in one call. The client's row is locked first: each statement after that sees what was
-- committed before, so balance and daily limit hold at this moment. Its plans are made once: in a store of many orders a
-- plan for each day's start looks better, and costs a third more than it saves.
CREATE FUNCTION place_order(
    of_client bigint, at_time bigint, day_start bigint, order_token bytea, order_service bigint, order_kind text,
    order_params text, order_charge bigint, claimed_until bigint, first_line text,
    request text, request_print bytea, request_since bigint, token_lock bigint,
    gateway text,
    OUT result text, OUT new_id bigint
) LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    account clients%ROWTYPE;
    earlier client_requests%ROWTYPE;
    spent_today bigint;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(token_lock);
    PERFORM FROM given_up WHERE token = order_token;
    IF FOUND THEN
        result := 'given up';
        RETURN;
    END IF;
    SELECT * INTO account FROM clients WHERE id = of_client FOR NO KEY UPDATE;
    IF request IS NOT NULL THEN
        SELECT * INTO earlier FROM client_requests
        WHERE client = of_client AND request_id = request AND at >= request_since;
        IF FOUND THEN
            result := CASE WHEN earlier.fingerprint = request_print THEN 'repeat' ELSE 'conflict' END;
            new_id := earlier.order_id;
            RETURN;
        END IF;
    END IF;
    IF account.id IS NULL OR account.disabled THEN
        result := 'disabled';
        RETURN;
    END IF;
    IF account.balance::numeric + account.credit < order_charge THEN
        result := 'funds';
        RETURN;
    END IF;
    spent_today := CASE WHEN account.spent_day = day_start THEN account.spent ELSE spent_in(of_client, day_start) END;
    IF account.daily_limit IS NOT NULL AND spent_today::numeric + order_charge > account.daily_limit THEN
        result := 'limit';
        RETURN;
    END IF;
    new_id := nextval('order_ids');
    UPDATE clients SET balance = balance - order_charge, spent_day = day_start, spent = spent_today + order_charge
    WHERE id = of_client;
    INSERT INTO orders (id, version, token, client, service, kind, params, charge, refunded, created_at, queued_at,
        updated_at, state, status, attempts, tried, round, cancel, due_at, holder)
    VALUES (new_id, 1, order_token, of_client, order_service, order_kind, order_params, order_charge, 0, at_time, at_time,
        at_time, 'queued', 'Pending', 0, '[]', 0, 'none', claimed_until, gateway);
    INSERT INTO ledger (client, at, kind, amount, balance, credit, order_id)
    VALUES (of_client, at_time, 'charge', -order_charge, account.balance - order_charge, account.credit, new_id);
    INSERT INTO history (order_id, version, line, at, text, alert) VALUES (new_id, 1, 0, at_time, first_line, false);
    IF request IS NOT NULL THEN
        INSERT INTO client_requests (client, request_id, fingerprint, order_id, at)
        VALUES (of_client, request, request_print, new_id, at_time)
        ON CONFLICT (client, request_id) DO UPDATE SET
            fingerprint = excluded.fingerprint, order_id = excluded.order_id, at = excluded.at;
    END IF;
    result := 'placed';
END $$;

-- Writes a step of an order, all or nothing, in one call: the order on the version that the step was made from, its attempt,
-- its history, what it leaves in doubt, and a refund with its ledger entry. `other` is whoever holds the upstream's ID, or
-- what was refunded already.
CREATE FUNCTION apply_step(
    of_order bigint, new_version bigint, new_refunded bigint, new_cost bigint, new_queued_at bigint, at_time bigint,
    new_state text, new_provider text, new_service text, new_upstream_order text, new_closed_at bigint, new_status text,
    new_word text, new_start_count bigint, new_remains bigint, new_first_charge text, new_upstream_charge text,
    new_polled_at bigint, new_changed_at bigint, new_silent_since bigint, new_silence_told boolean, new_attempts bigint,
    new_tried text, new_round bigint, new_cancel text, new_refusal text, new_due_at bigint, told_within bigint,
    refund bigint, attempt bigint, attempt_provider text, attempt_service text, attempt_outcome text, attempt_detail text,
    note_texts text[], note_alerts bigint[],
    OUT result text, OUT other bigint
) LANGUAGE plpgsql AS $$
DECLARE
    present record;
    account record;
    refund_day bigint;
    spent_then bigint;
BEGIN
    SELECT ctid, version, client, refunded, cancel, provider, upstream_order INTO present FROM orders WHERE id = of_order
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        result := 'missing';
        RETURN;
    END IF;
    IF present.version + 1 <> new_version THEN
        result := 'stale';
        RETURN;
    END IF;
    IF (new_provider, new_upstream_order) IS DISTINCT FROM (present.provider, present.upstream_order)
        AND new_upstream_order IS NOT NULL
    THEN
        SELECT id INTO other FROM orders
        WHERE provider = new_provider AND upstream_order = new_upstream_order AND id <> of_order;
        IF FOUND THEN
            result := 'taken';
            RETURN;
        END IF;
    END IF;
    IF present.refunded + coalesce(refund, 0) <> new_refunded THEN
        result := 'refunds';
        other := present.refunded;
        RETURN;
    END IF;
    UPDATE orders SET version = new_version, refunded = new_refunded, cost = new_cost, queued_at = new_queued_at,
        updated_at = at_time, state = new_state, provider = new_provider, upstream_service = new_service,
        upstream_order = new_upstream_order, closed_at = new_closed_at, status = new_status, word = new_word,
        start_count = new_start_count, remains = new_remains, first_charge = new_first_charge,
        upstream_charge = new_upstream_charge, polled_at = new_polled_at, changed_at = new_changed_at,
        silent_since = new_silent_since, silence_told = new_silence_told, attempts = new_attempts, tried = new_tried,
        round = new_round, cancel = new_cancel, refusal = new_refusal, due_at = new_due_at,
        cancel_due = CASE WHEN new_cancel = 'wished' AND present.cancel <> 'wished' AND new_state = 'placed'
            THEN at_time + told_within ELSE cancel_due END,
        cancel_tries = CASE present.cancel WHEN 'wished' THEN cancel_tries ELSE 0 END
    -- Where the row is, now that nobody else can move it.
    WHERE ctid = present.ctid;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'order % is not where it was locked', of_order;
    END IF;
    IF refund IS NOT NULL THEN
        SELECT balance, credit, spent_day, spent INTO account FROM clients WHERE id = present.client FOR NO KEY UPDATE;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'order % belongs to client %, who is not there', of_order, present.client;
        END IF;
        refund_day := at_time - at_time % 86400000;
        -- What others wrote before the lock is seen by a statement of its own.
        spent_then := CASE WHEN account.spent_day = refund_day THEN account.spent
            ELSE spent_in(present.client, refund_day) END;
        UPDATE clients SET balance = balance + refund, spent_day = refund_day, spent = spent_then - refund
        WHERE id = present.client;
        INSERT INTO ledger (client, at, kind, amount, balance, credit, order_id)
        VALUES (present.client, at_time, 'refund', refund, account.balance + refund, account.credit, of_order);
    END IF;
    IF attempt_outcome IS NOT NULL THEN
        UPDATE attempts SET finished_at = at_time, finished_version = new_version, outcome = attempt_outcome,
            detail = attempt_detail
        WHERE order_id = of_order AND number = attempt;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'order % has no attempt %, which ended', of_order, attempt;
        END IF;
        IF new_state = 'uncertain' THEN
            -- A duplicate speaks of an earlier attempt there, however that was answered, and not of itself.
            INSERT INTO lost_attempts (order_id, attempt, provider, started_at, ended_at)
            SELECT order_id, number, provider, started_at, coalesce(finished_at, at_time) FROM attempts
            WHERE order_id = of_order AND provider = new_provider
                AND CASE WHEN attempt_outcome = 'rejected' THEN number < attempt AND outcome <> 'accepted'
                    ELSE number = attempt END
            ON CONFLICT DO NOTHING;
        END IF;
    ELSIF attempt IS NOT NULL THEN
        INSERT INTO attempts (order_id, number, provider, upstream_service, started_at, started_version)
        VALUES (of_order, attempt, attempt_provider, attempt_service, at_time, new_version);
    END IF;
    INSERT INTO history (order_id, version, line, at, text, alert)
    SELECT of_order, new_version, line - 1, at_time, note, alert <> 0
    FROM unnest(note_texts, note_alerts) WITH ORDINALITY AS notes (note, alert, line);
    result := 'done';
END $$;
