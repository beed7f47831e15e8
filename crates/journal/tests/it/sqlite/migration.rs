//! A file of an older version is brought up to date, and has everything it had.

use chathook_journal::{Appended, DeadFilter, Position, Record, State};

use super::{all_ids, path};
use crate::harness::{Home, bounded, delivered, keep, one, record};

/// The tables of version 1, as they were.
const VERSION_1: &str = "
    CREATE TABLE event (
      position INTEGER PRIMARY KEY AUTOINCREMENT,
      id       TEXT    NOT NULL,
      app      INTEGER,
      command  TEXT    NOT NULL,
      key      TEXT,
      received INTEGER NOT NULL,
      decoded  INTEGER NOT NULL,
      query    TEXT    NOT NULL,
      body     BLOB    NOT NULL,
      answer   BLOB
    ) STRICT;
    CREATE TABLE segment (
      number INTEGER PRIMARY KEY,
      events INTEGER NOT NULL,
      bytes  INTEGER NOT NULL,
      oldest INTEGER NOT NULL,
      newest INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE seen (
      first        INTEGER PRIMARY KEY,
      newest       INTEGER NOT NULL,
      fingerprints BLOB    NOT NULL
    ) STRICT;
    CREATE TABLE target (
      id         INTEGER PRIMARY KEY AUTOINCREMENT,
      name       TEXT    NOT NULL UNIQUE,
      configured INTEGER NOT NULL,
      begin      INTEGER NOT NULL,
      cursor     INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE delivery (
      position      INTEGER NOT NULL,
      target        INTEGER NOT NULL,
      lane          INTEGER,
      state         TEXT    NOT NULL,
      attempts      INTEGER NOT NULL,
      first_attempt INTEGER,
      last_attempt  INTEGER,
      due           INTEGER,
      class         TEXT,
      cause         TEXT,
      PRIMARY KEY (position, target)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX delivery_open ON delivery (target, lane, position) WHERE state <> 'dead';
    CREATE INDEX delivery_dead ON delivery (target, position) WHERE state = 'dead';
    CREATE TABLE attempt (
      position INTEGER NOT NULL,
      target   INTEGER NOT NULL,
      number   INTEGER NOT NULL,
      at       INTEGER NOT NULL,
      took     INTEGER NOT NULL,
      led_to   TEXT    NOT NULL,
      detail   TEXT    NOT NULL,
      PRIMARY KEY (position, target, number)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE audit (
      number   INTEGER PRIMARY KEY,
      at       INTEGER NOT NULL,
      by       TEXT    NOT NULL,
      action   TEXT    NOT NULL,
      position INTEGER NOT NULL,
      target   TEXT    NOT NULL
    ) STRICT;
    PRAGMA application_id = 0x6368686b;
    PRAGMA user_version = 1;
    PRAGMA journal_mode = WAL;
";

/// Eight events were kept, and the first and the last were removed. Of the target `crm` the first is settled, the second a dead letter, the third
/// waits for its next attempt with the fourth behind it, and the rest was not read yet.
const EVENTS_1: &str = "
    INSERT INTO event (position, id, app, command, key, received, decoded, query, body, answer)
    VALUES (1, 'removed', 1400000001, 'C', 'a', 0, 1, '', x'', NULL);
    DELETE FROM event;
    INSERT INTO event (id, app, command, key, received, decoded, query, body, answer) VALUES
      ('one', 1400000001, 'C', 'a', :now, 1, 'q=1', x'7b7d', NULL),
      ('two', NULL, 'C', NULL, :now, 0, '', x'00ff', NULL),
      ('three', 1400000001, 'C', 'c2c:a:b', :now, 1, '', x'', x'7b7d'),
      ('four', 1400000001, 'C', 'c2c:a:b', :now, 1, '', x'', NULL),
      ('sha256:five', 1400000001, 'C', 'a', :now, 1, '', x'', NULL),
      ('six', 1400000001, 'C', 'a', :now, 1, '', x'', NULL);
    INSERT INTO event (id, command, received, decoded, query, body) VALUES ('removed', 'C', 0, 1, '', x'');
    DELETE FROM event WHERE id = 'removed';
    INSERT INTO segment VALUES (0, 6, 9, :now, :now);
    INSERT INTO target (name, configured, begin, cursor) VALUES ('crm', 1, 0, 5);
    INSERT INTO delivery VALUES
      (3, 1, NULL, 'dead', 1, :now, :now, NULL, 'target', '410'),
      (4, 1, 9125599647910966346, 'retrying', 1, :now, :now, :now, NULL, '500'),
      (5, 1, 9125599647910966346, 'waiting', 0, NULL, NULL, NULL, NULL, NULL);
    INSERT INTO attempt VALUES
      (2, 1, 1, :now, 5, 'delivered', '200'), (3, 1, 1, :now, 5, 'dead', '410'), (4, 1, 1, :now, 5, 'retrying', '500');
    INSERT INTO audit VALUES (1, :now, 'ann', 'replay', 2, 'crm');
";

#[tokio::test]
async fn a_file_of_version_1_has_everything_it_had() {
    bounded(async {
        let home = Home::sqlite();
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis().to_string();
        let old = rusqlite::Connection::open(path(&home)).unwrap();
        old.execute_batch(VERSION_1).unwrap();
        old.execute_batch(&EVENTS_1.replace(":now", &now)).unwrap();
        drop(old);

        let journal = home.open(&["crm"]).await;
        assert_eq!(all_ids(&journal).await, ["one", "two", "three", "four", "sha256:five", "six"]);
        let three = journal.event(Position(4)).await.unwrap().unwrap();
        assert_eq!((&*three.record.body, three.record.answer.as_deref()), (&b""[..], Some(&b"{}"[..])));
        assert_eq!((three.targets[0].state, three.targets[0].attempts.len()), (Some(State::Retrying), 1));
        assert!(!three.record.by_content);
        let dead = journal.dead_letters(&DeadFilter::default()).await.unwrap();
        assert_eq!(
            dead.iter().map(|letter| (letter.position, letter.cause.as_str())).collect::<Vec<_>>(),
            [(Position(3), "410")]
        );
        assert_eq!(journal.audit(None, 9).await.unwrap().len(), 1);
        let stats = journal.stats().await.unwrap();
        assert_eq!((stats.events, stats.bytes, stats.targets[0].backlog), (6, 9, 4));

        // Duplicates are found, also of what nobody noted to be known by its content only; positions go on.
        let told = |id: &str| Record { id: id.into(), by_content: true, ..record("a") };
        assert_eq!(journal.append(Record { id: "two".into(), ..record("") }).await, Ok(Appended::Duplicate));
        assert_eq!(journal.append(told("sha256:five")).await, Ok(Appended::Duplicate));
        assert_eq!(keep(&journal, told("sha256:other")).await, Position(9));
        assert_eq!(keep(&journal, told("sha256:five")).await, Position(10));

        let mut crm = journal.subscribe("crm").unwrap();
        let mut seen = Vec::new();
        for _ in 0..6 {
            let delivery = one(&mut crm).await;
            delivery.settle(delivered()).await.unwrap();
            seen.push((delivery.position.0, delivery.record.id.clone()));
        }
        seen.sort();
        let expected =
            [(4, "three"), (5, "four"), (6, "sha256:five"), (7, "six"), (9, "sha256:other"), (10, "sha256:five@9")];
        assert_eq!(seen, expected.map(|(position, id)| (position, id.to_owned())));

        // Once is enough.
        journal.close().await;
        home.open(&["crm"]).await;
        let file = rusqlite::Connection::open(path(&home)).unwrap();
        let version: u32 = file.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(version, 3);
    })
    .await;
}

#[tokio::test]
async fn a_file_of_version_1_becomes_what_a_new_one_is() {
    bounded(async {
        let (old, new) = (Home::sqlite(), Home::sqlite());
        rusqlite::Connection::open(path(&old)).unwrap().execute_batch(VERSION_1).unwrap();
        let columns = async |home: &Home| {
            home.open(&["crm"]).await.close().await;
            let file = rusqlite::Connection::open(path(home)).unwrap();
            let mut find = file
                .prepare(
                    "SELECT t.name || '.' || c.name || ' ' || c.type || c.\"notnull\" || c.pk FROM sqlite_schema t,
                     pragma_table_xinfo(t.name) c ORDER BY 1",
                )
                .unwrap();
            find.query_map([], |row| row.get::<_, String>(0)).unwrap().map(Result::unwrap).collect::<Vec<_>>()
        };
        assert_eq!(columns(&old).await, columns(&new).await);
    })
    .await;
}
