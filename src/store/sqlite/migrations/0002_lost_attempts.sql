-- Attempts that may have left an order upstream: their outcome was not known when they ended, or a duplicate link
-- after them said that one of them was placed. A row stays when its order is settled, since what the upstream has then
-- is not always known either.
CREATE TABLE lost_attempts (
    order_id INTEGER NOT NULL REFERENCES orders (id),
    attempt INTEGER NOT NULL,
    provider TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    -- What the upstream takes for it by its list of that time, in its currency.
    cost TEXT,
    -- How often it was searched for, for how many of these IDs were asked for, by how many calls in all, and when last.
    tries INTEGER NOT NULL DEFAULT 0,
    scans INTEGER NOT NULL DEFAULT 0,
    calls INTEGER NOT NULL DEFAULT 0,
    asked_at INTEGER,
    -- When it is searched for again.
    next_at INTEGER,
    PRIMARY KEY (order_id, attempt)
) STRICT, WITHOUT ROWID;
CREATE INDEX lost_attempts_by_provider ON lost_attempts (provider, ended_at);

-- What was lost before this table was there: also what was settled since, unless that gave the order its ID.
INSERT INTO lost_attempts (order_id, attempt, provider, started_at, ended_at)
SELECT order_id, number, attempts.provider, started_at, finished_at
FROM attempts JOIN orders ON orders.id = order_id
WHERE outcome = 'ambiguous'
    OR (outcome = 'accepted' AND (orders.provider, orders.upstream_order) IS NOT (attempts.provider, detail))
    -- A duplicate link after an earlier attempt there.
    OR (outcome <> 'accepted' AND EXISTS (
        SELECT 1 FROM attempts AS later
        WHERE later.order_id = attempts.order_id AND later.provider = attempts.provider
            AND later.number > attempts.number AND later.detail LIKE 'duplicate-link: %'
    ));

-- When this store took a backup's place: what was placed in the time that is gone is not known to it.
ALTER TABLE store ADD COLUMN restored_at INTEGER;

-- Each run of a drip-feed is an order of its own upstream: nothing is searched for among those.
CREATE INDEX orders_drip_feeds ON orders (provider, closed_at) WHERE instr(params, '"drip_feed":{') > 0;

-- Since when a provider is another panel: what it said before is not of the same IDs.
CREATE TABLE provider_moves (
    provider TEXT PRIMARY KEY,
    moved_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
