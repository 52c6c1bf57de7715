//! The log as it runs: its own thread, a real directory, many at once.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tidegate_log::sim::{Faults, SimDisk};
use tidegate_log::{AppendError, Closed, Directory, Log, Options, Position, ReadError, StartAt};

fn options() -> Options {
    Options {
        bytes_max: 1 << 20,
        segment_bytes_max: 64 << 10,
        unsynced_bytes_max: 16 << 10,
        sync_bytes_max: 4 << 10,
        recent_bytes_max: 8 << 10,
        ..Options::default()
    }
}

fn open(dir: &tempfile::TempDir, options: Options) -> Log {
    Log::open(Arc::new(Directory::open(dir.path()).expect("it is free")), options).expect("the log opens")
}

#[test]
fn many_append_and_many_read_and_nothing_is_lost_or_out_of_order() {
    const WRITERS: u64 = 8;
    const RECORDS: u64 = 2000;
    let dir = tempfile::tempdir().expect("a directory");
    // the whole is longer than the log, so that writers wait for readers
    let log = open(&dir, Options { bytes_max: 140 << 10, ..options() });
    let consumers = ["lake", "twin"].map(|name| log.consumer(name, StartAt::Oldest));
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let log = &log;
            scope.spawn(move || {
                for number in 0..RECORDS {
                    let record = [writer.to_le_bytes(), number.to_le_bytes()];
                    let at =
                        log.blocking_append(&[record.as_flattened(), &[0; 60]]).expect("the log is open");
                    if number % 50 == 0 {
                        log.blocking_durable(at).expect("the log is open");
                    }
                }
            });
        }
        for consumer in &consumers {
            scope.spawn(move || {
                let mut cursor = consumer.cursor();
                let mut next = [0; WRITERS as usize];
                for number in 0..WRITERS * RECORDS {
                    let entry = cursor.blocking_next().expect("a sound record");
                    assert_eq!(entry.at.number, number);
                    let field =
                        |at| u64::from_le_bytes(entry.payload[at..at + 8].try_into().expect("eight bytes"));
                    let expected = &mut next[field(0) as usize];
                    assert_eq!(field(8), *expected);
                    *expected += 1;
                    consumer.advance(entry.next);
                }
            });
        }
    });
    log.blocking_saved().expect("the log is open");
    assert_eq!(log.usage().records, 0);
    assert_eq!(log.usage().oldest_age, None);
    log.close().expect("it is on disk");
    drop((log, consumers));

    let log = open(&dir, options());
    assert_eq!(log.end().number, WRITERS * RECORDS);
    assert_eq!(log.consumer("lake", StartAt::Oldest).lag(), Default::default());
}

#[test]
fn a_lone_append_does_not_wait_for_company() {
    let dir = tempfile::tempdir().expect("a directory");
    let never = Duration::from_secs(86_400);
    let log = open(&dir, Options { sync_interval_max: never, save_interval_max: never, ..options() });
    for _ in 0..3 {
        let at = log.blocking_append(&[b"21.5"]).expect("the log is open");
        log.blocking_durable(at).expect("the log is open");
    }
    // the last group had many; then one comes alone
    let many: Vec<Position> =
        (0..20).map(|_| log.blocking_append(&[b"21.5"]).expect("the log is open")).collect();
    for at in many {
        log.blocking_durable(at).expect("the log is open");
    }
    let at = log.blocking_append(&[b"21.5"]).expect("the log is open");
    log.blocking_durable(at).expect("the log is open");
    // nor does a consumer that is to be there after a crash
    log.consumer("lake", StartAt::Newest);
    log.blocking_saved().expect("the log is open");
}

#[tokio::test]
async fn tasks_wait_without_a_thread_each() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(&dir, options());
    let consumer = log.consumer("lake", StartAt::Oldest);
    let mut cursor = consumer.cursor();
    let reader = tokio::spawn(async move {
        for number in 0..100 {
            assert_eq!(cursor.next().await.expect("a sound record").at.number, number);
        }
        cursor
    });
    let mut waiting = Vec::new();
    for _ in 0..100 {
        let at = log.append(&[b"21.5"]).await.expect("the log is open");
        waiting.push(tokio::spawn(log.durable(at)));
    }
    for task in waiting {
        task.await.expect("no panic").expect("the log is open");
    }
    let mut cursor = reader.await.expect("no panic");
    let end = tokio::spawn(async move { cursor.next().await });
    log.close().expect("it is on disk");
    assert!(matches!(end.await.expect("no panic"), Err(ReadError::Closed(Closed))));
    assert_eq!(log.append(&[b"21.5"]).await, Err(AppendError::Closed(Closed)));
    assert_eq!(log.durable(log.end()).await, Err(Closed));
    assert!(log.durable(Position::default()).await.is_ok(), "what is durable stays so");
}

#[test]
fn the_last_clone_closes_the_log_and_puts_it_on_disk() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(&dir, options());
    let consumer = log.consumer("lake", StartAt::Oldest);
    log.blocking_append(&[b"21.5"]).expect("the log is open");
    consumer.advance_with(log.end(), "1 delivered".into());
    drop(log);
    drop(consumer);

    let log = open(&dir, options());
    assert_eq!(log.durable_end().number, 1);
    let consumer = log.consumer("lake", StartAt::Oldest);
    assert_eq!(consumer.watermark(), Some(log.end()));
    assert_eq!(&consumer.memo()[..], b"1 delivered");
}

#[test]
fn who_waits_for_room_gets_it_when_a_failing_disk_is_well_again() {
    let disk = SimDisk::new(1);
    let log = Log::open(Arc::new(disk.clone()), options()).expect("the log opens");
    let consumer = log.consumer("lake", StartAt::Oldest);
    while log.usage().bytes + 2000 < options().bytes_max {
        let at = log.blocking_append(&[&[0; 1000]]).expect("the log is open");
        log.blocking_durable(at).expect("the log is open");
    }
    disk.set_faults(Faults { names: 1.0, ..Faults::default() });
    consumer.advance(log.end());
    while log.usage().stall.is_none() {
        thread::yield_now();
    }
    disk.set_faults(Faults::default());
    for _ in 0..2000 {
        log.blocking_append(&[&[0; 1000]]).expect("the log is open");
        consumer.advance(log.end());
    }
}
