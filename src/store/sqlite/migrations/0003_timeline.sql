-- How often all deadlines were moved with the machine's clock: they are moved only on the timeline that was read before.
ALTER TABLE store ADD COLUMN timeline INTEGER NOT NULL DEFAULT 0;

-- What a duplicate link made uncertain says so itself: by whatever ID it is settled, its last attempt was refused.
UPDATE orders SET tried = json_insert(tried, '$[#]', json_object(
    'provider', provider, 'service', upstream_service, 'round', round, 'may_pass', json('true'), 'end', 'duplicate'
))
WHERE state = 'uncertain' AND EXISTS (
    SELECT 1 FROM attempts WHERE order_id = orders.id AND number = orders.attempts AND outcome = 'rejected'
);
