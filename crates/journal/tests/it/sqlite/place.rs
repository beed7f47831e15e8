//! The files are moved, removed or replaced while they are in use: nothing is claimed to be kept any more.

use std::fs;
use std::path::Path;

use chathook_journal::{AppendError, Health, Journal};

use super::{all_ids, path, until};
use crate::harness::{Home, bounded, keep, record};

/// What somebody does to the file at this path.
type Deed = fn(&Path);

const DEEDS: [(&str, Deed); 5] = [
    ("the folder is removed", |path| fs::remove_dir_all(path.parent().unwrap()).unwrap()),
    ("the file is removed", |path| fs::remove_file(path).unwrap()),
    ("the log is removed", |path| fs::remove_file(path.with_extension("db-wal")).unwrap()),
    ("the lock is removed", |path| fs::remove_file(path.with_extension("db.lock")).unwrap()),
    ("the file is replaced", |path| {
        let copy = path.with_extension("copy");
        fs::copy(path, &copy).unwrap();
        fs::rename(copy, path).unwrap();
    }),
];

fn is_lost(journal: &Journal) -> bool {
    matches!(journal.health(), Health::CannotKeep(reason) if reason.contains("while it was in use"))
}

#[tokio::test]
async fn nothing_is_acknowledged_that_goes_to_a_file_that_is_gone() {
    bounded(async {
        for (what, deed) in DEEDS {
            let home = Home::sqlite();
            let journal = home.open(&["crm"]).await;
            keep(&journal, record("a")).await;
            deed(path(&home));
            let error = journal.append(record("a")).await;
            assert!(matches!(error, Err(AppendError::Failed(_))), "{what}: {error:?}");
            assert!(is_lost(&journal), "{what}: {:?}", journal.health());
            journal.close().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_file_that_is_gone_is_noticed_while_nothing_comes() {
    bounded(async {
        for (what, deed) in DEEDS {
            let home = Home::sqlite();
            let journal = home.open(&["crm"]).await;
            deed(path(&home));
            until(what, async || is_lost(&journal)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_was_kept_is_there_when_the_folder_is_moved_back() {
    bounded(async {
        let home = Home::sqlite();
        let journal = home.open(&["crm"]).await;
        let first = record("a");
        keep(&journal, first.clone()).await;
        let folder = path(&home).parent().unwrap().to_path_buf();
        let elsewhere = folder.with_extension("elsewhere");
        fs::rename(&folder, &elsewhere).unwrap();
        until("it is noticed", async || is_lost(&journal)).await;
        fs::rename(&elsewhere, &folder).unwrap();
        // Somebody may have used it meanwhile: only a start finds out what it is.
        assert!(journal.append(record("a")).await.is_err());
        journal.close().await;
        let journal = home.open(&["crm"]).await;
        assert_eq!(all_ids(&journal).await, [first.id]);
        keep(&journal, record("a")).await;
    })
    .await;
}
