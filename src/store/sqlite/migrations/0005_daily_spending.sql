-- What a client has been charged less what it was given back in the UTC day that begins at `spent_day`, which is the day of
-- its last charge or refund: always the sum of those in its ledger. Kept beside it so that a daily limit need not add it
-- up; another day's is added up once, when that day has its first entry. So a store of before needs nothing filled in.
ALTER TABLE clients ADD COLUMN spent_day INTEGER;
ALTER TABLE clients ADD COLUMN spent INTEGER NOT NULL DEFAULT 0;
