-- Version 1. Times are milliseconds since 1970 (UTC), sizes are bytes.

CREATE TABLE event (
  position INTEGER PRIMARY KEY AUTOINCREMENT,  -- ascends in the order of appending, never used twice
  id       TEXT    NOT NULL,                   -- identity
  app      INTEGER,                            -- SdkAppid
  command  TEXT    NOT NULL,                   -- as on the wire
  key      TEXT,                               -- ordering key: the conversation
  received INTEGER NOT NULL,
  decoded  INTEGER NOT NULL,                   -- 0: the body could not be read
  query    TEXT    NOT NULL,                   -- as it came
  body     BLOB    NOT NULL,                   -- as it came
  answer   BLOB                                -- what a before-callback was answered
) STRICT;

-- One row for each 1,024 positions: what listing skips, and what checking counts.
CREATE TABLE segment (
  number INTEGER PRIMARY KEY,                  -- position / 1024
  events INTEGER NOT NULL,
  bytes  INTEGER NOT NULL,                     -- of queries, bodies and answers
  oldest INTEGER NOT NULL,                     -- least time of receipt
  newest INTEGER NOT NULL                      -- greatest time of receipt
) STRICT;

-- Fingerprints of identities, one row for some 32,768 positions: what finds duplicates.
CREATE TABLE seen (
  first        INTEGER PRIMARY KEY,            -- position of the first fingerprint
  newest       INTEGER NOT NULL,               -- greatest time of receipt
  fingerprints BLOB    NOT NULL                -- 4 bytes each, little-endian, one a position
) STRICT;

CREATE TABLE target (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  name       TEXT    NOT NULL UNIQUE,
  configured INTEGER NOT NULL,                 -- 0: gone; it holds up nothing, and goes on where it stopped when it comes back
  begin      INTEGER NOT NULL,                 -- it gets events after this position
  cursor     INTEGER NOT NULL                  -- every event up to here is settled, or has a row in `delivery`
) STRICT;

-- What a cursor cannot say: deliveries that wait, and dead letters.
CREATE TABLE delivery (
  position      INTEGER NOT NULL,
  target        INTEGER NOT NULL,              -- target.id
  lane          INTEGER,                       -- hash of the event's key
  state         TEXT    NOT NULL,              -- waiting | retrying | dead
  attempts      INTEGER NOT NULL,              -- made since the event was kept or replayed
  first_attempt INTEGER,
  last_attempt  INTEGER,
  due           INTEGER,                       -- retrying: when
  class         TEXT,                          -- dead: target | gateway | undecodable
  cause         TEXT,                          -- what went wrong at last
  PRIMARY KEY (position, target)
) STRICT, WITHOUT ROWID;
CREATE INDEX delivery_open ON delivery (target, lane, position) WHERE state <> 'dead';
CREATE INDEX delivery_dead ON delivery (target, position) WHERE state = 'dead';

CREATE TABLE attempt (
  position INTEGER NOT NULL,
  target   INTEGER NOT NULL,                   -- target.id
  number   INTEGER NOT NULL,                   -- 1 is the first
  at       INTEGER NOT NULL,
  took     INTEGER NOT NULL,                   -- milliseconds
  led_to   TEXT    NOT NULL,                   -- delivered | retrying | dead
  detail   TEXT    NOT NULL,                   -- what the target said, or what went wrong
  PRIMARY KEY (position, target, number)
) STRICT, WITHOUT ROWID;

-- What operators did.
CREATE TABLE audit (
  number   INTEGER PRIMARY KEY,
  at       INTEGER NOT NULL,
  by       TEXT    NOT NULL,
  action   TEXT    NOT NULL,                   -- replay | discard
  position INTEGER NOT NULL,
  target   TEXT    NOT NULL                    -- target.name
) STRICT;
