//! Tests how a log ends: closed with nothing lost, or poisoned by a disk that refuses writes.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::publisher::Publisher;
use crate::recover::Hold;
use crate::segment::Segment;
use crate::state::Shared;
use crate::writer::{Command, Writer};
use crate::{keys, recover};

#[tokio::test(flavor = "multi_thread")]
async fn closing_waits_for_the_places_that_calls_still_hold() {
    let folder = Folder::new();
    let log = folder.open();
    let slot = log.reserve().unwrap();
    let closing = tokio::spawn({
        let log = log.clone();
        async move { log.close().await }
    });
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert!(log.reserve().is_err(), "no new place while closing");
    drop(slot.append(&record(&log, Kind::Unary)));
    closing.await.unwrap().unwrap();
    let sentence = verify::directory(&folder.log(), &folder.key, &[]).unwrap().sentence().to_owned();
    assert!(sentence.contains("the first 1 are signed"), "{sentence}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_log_signs_nothing_more_and_another_may_have_it() {
    let folder = Folder::new();
    let log = folder.open();
    append(&log, 1).await;
    log.close().await.unwrap();
    assert!(matches!(log.checkpoint().await, Err(Error::Unavailable(_))));
    assert!(matches!(log.close().await, Err(Error::Unavailable(_))));
    assert!(!log.is_poisoned());
    append(&folder.open(), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_tiles_go_when_the_full_one_is_published() {
    let folder = Folder::new();
    let log = folder.open();
    append(&log, 100).await;
    log.checkpoint().await.unwrap();
    let partial = ["tile/0/000.p", "tile/entries/000.p"].map(|name| folder.log().join(name));
    assert!(partial.iter().all(|folder| folder.exists()));
    append(&log, 160).await;
    log.checkpoint().await.unwrap();
    assert!(partial.iter().all(|folder| !folder.exists()));
    verify::directory(&folder.log(), &folder.key, &[]).unwrap();
}

/// A writer whose disk refuses every write, behind two sound entries.
async fn refusing(folder: &Folder) -> (Arc<Shared>, Arc<Mutex<Publisher>>, mpsc::Sender<Command>) {
    let log = folder.open();
    append(&log, 2).await;
    log.close().await.unwrap();
    drop(log);
    let config = folder.config();
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    let recovered = recover::open(&disk, &config, &folder.key, Hold::ToState).unwrap();
    let key = keys::signing_key(&config).unwrap();
    let mut writer = Writer::new(&config, disk, key, recovered);
    writer.segment = Segment::refusing(folder.segment());
    let (shared, publisher) = (Arc::clone(&writer.shared), Arc::clone(&writer.publisher));
    let (commands, receiver) = mpsc::channel(8);
    std::thread::spawn(move || writer.run(receiver));
    (shared, publisher, commands)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_write_poisons_the_log_and_no_one_is_told_of_an_entry() {
    let folder = Folder::new();
    let (shared, publisher, commands) = refusing(&folder).await;
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let (done, told) = oneshot::channel();
        if commands
            .send(Command::Append { entry: b"entry".to_vec(), part: None, done, completions: None })
            .await
            .is_ok()
        {
            waiting.push(told);
        }
    }
    for told in waiting {
        assert!(told.await.is_err(), "no entry was acknowledged");
    }
    commands.closed().await;
    assert!(shared.is_poisoned());
    assert!(shared.watch().wait_for(|poisoned| *poisoned).await.is_ok());
    assert!(matches!(publisher.lock().publish(), Err(Error::Unavailable(_))), "nothing more is signed");
    drop((shared, publisher, commands));

    torn::free(&folder).await;
    let log = folder.open();
    assert_eq!(log.size().await, 2, "what was acknowledged before is there at the next start");
}
