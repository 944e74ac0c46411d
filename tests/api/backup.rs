//! Backups of SQLite: taken while others write, put back, and refused where that would do harm.

use crate::databases::{Database, folder};
use crate::store::change;
use consilium::store::{BackupError, StoreError, restore};
use std::os::unix::fs::PermissionsExt;

#[tokio::test]
async fn a_backup_taken_while_others_write_is_whole_and_comes_back() {
    let (database, target) = (Database::sqlite(), folder("restore"));
    let store = database.open().await;
    for number in 1..=20 {
        change(&store, number).await.unwrap();
    }
    let file = target.join("backup.db");
    let writer = store.clone();
    let (copied, written) = tokio::join!(store.backup(&file), async move {
        for number in 21..=40 {
            change(&writer, number).await.unwrap();
        }
    });
    copied.unwrap();
    let () = written;
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(matches!(store.backup(&file).await, Err(BackupError::Exists(_))));

    let data_dir = target.join("data");
    assert_eq!(restore(&data_dir, &file, false).await.unwrap(), None);
    let place = consilium::store::Place::Sqlite { data_dir: data_dir.clone() };
    let restored = consilium::store::Store::open(&place).await.unwrap();
    let head = restored.verify_audit().await.unwrap().unwrap();
    assert!((20..=40).contains(&head.sequence), "{head}");
    assert_eq!(restored.last_event().await.unwrap(), head.sequence);
    let original = store.events_after(0, 500).await.unwrap();
    assert_eq!(restored.events_after(0, 500).await.unwrap(), original[..head.sequence as usize]);

    let refused = restore(&data_dir, &file, true).await;
    assert!(matches!(refused, Err(BackupError::Store(StoreError::Busy(_)))), "while a server runs: {refused:?}");
    change(&restored, 99).await.unwrap();
    restored.close().await;
    drop(restored);
    assert!(matches!(restore(&data_dir, &file, false).await, Err(BackupError::WouldReplace)));
    let kept = restore(&data_dir, &file, true).await.unwrap().unwrap();
    let again = consilium::store::Store::open(&place).await.unwrap();
    assert_eq!(again.last_event().await.unwrap(), head.sequence, "the change after the backup is gone");
    again.close().await;
    drop(again);
    // And is still to be had.
    restore(&data_dir, &kept, true).await.unwrap();
    let before = consilium::store::Store::open(&place).await.unwrap();
    assert_eq!(before.last_event().await.unwrap(), head.sequence + 1);
    drop(before);
    std::fs::remove_dir_all(&target).unwrap();
}

#[tokio::test]
async fn what_is_not_a_backup_of_ours_is_refused_and_changes_nothing() {
    let (database, target) = (Database::sqlite(), folder("refused"));
    let store = database.open().await;
    for number in 1..=200 {
        change(&store, number).await.unwrap();
    }
    let good = target.join("good.db");
    store.backup(&good).await.unwrap();
    let bytes = std::fs::read(&good).unwrap();
    let mut foreign = bytes.clone();
    foreign[68..72].fill(0);
    let mut damaged = bytes.clone();
    damaged[4096 * 3..4096 * 4].fill(0x55);
    let cases = [
        ("text", b"not a database at all, and long enough to look at, so that the head can be read".to_vec()),
        ("empty", Vec::new()),
        ("foreign", foreign),
        ("damaged", damaged),
        ("short", bytes[..bytes.len() / 2].to_vec()),
    ];
    let data_dir = target.join("data");
    for (name, content) in cases {
        let file = target.join(name);
        std::fs::write(&file, content).unwrap();
        let error = restore(&data_dir, &file, true).await.unwrap_err();
        assert!(matches!(error, BackupError::Foreign(_) | BackupError::Damaged { .. }), "{name}: {error}");
    }
    assert!(matches!(restore(&data_dir, &target.join("absent"), true).await, Err(BackupError::File { .. })));
    assert!(!data_dir.exists());
    std::fs::remove_dir_all(&target).unwrap();
}
