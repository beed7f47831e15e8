-- Version 2: who does the same again, with something else in between, is heard again.

ALTER TABLE event ADD COLUMN by_content INTEGER NOT NULL DEFAULT 0;  -- 1: the identity is only a hash of the content

-- The last event of each conversation whose identity is only a hash of the content.
CREATE TABLE latest (
  lane     INTEGER PRIMARY KEY,                -- hash of the event's key; of the empty key where it has none
  position INTEGER NOT NULL
) STRICT;

-- The last event that was removed: no position is used twice.
CREATE TABLE removed (position INTEGER NOT NULL) STRICT;
INSERT INTO removed SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'event';

-- The program gives the positions: SQLite need not note the last one beside each event. The rows are the same without this
-- word.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, ' AUTOINCREMENT', '') WHERE name = 'event';
PRAGMA writable_schema = RESET;
DELETE FROM sqlite_sequence WHERE name = 'event';
