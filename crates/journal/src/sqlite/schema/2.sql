-- Version 2: who does the same again, with something else in between, is heard again.

ALTER TABLE event ADD COLUMN by_content INTEGER NOT NULL DEFAULT 0;  -- 1: the identity is only a hash of the content

-- The last event of each conversation whose identity is only a hash of the content.
CREATE TABLE latest (
  lane     INTEGER PRIMARY KEY,                -- hash of the event's key; of the empty key where it has none
  position INTEGER NOT NULL
) STRICT;
