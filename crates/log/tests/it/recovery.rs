//! What the log does about each thing that can be wrong when it is opened, and about disks that fail while it runs.

use std::io;
use std::sync::Arc;

use tidegate_log::sim::{Faults, SimDisk};
use tidegate_log::{AppendError, Disk, Entry, Log, OpenError, Options, ReadError, StartAt, Writer};

const OPTIONS: fn() -> Options = || Options {
    bytes_max: 16 << 10,
    segment_bytes_max: 4 << 10,
    unsynced_bytes_max: 2 << 10,
    sync_bytes_max: 1 << 10,
    recent_bytes_max: 0,
    ..Options::default()
};

fn try_open(disk: &SimDisk) -> Result<(Log, Writer), OpenError> {
    Log::open_stepped(Arc::new(disk.clone()), OPTIONS())
}

fn open(disk: &SimDisk) -> (Log, Writer) {
    try_open(disk).expect("the log opens")
}

/// Appends records of 100 bytes that begin with their number.
fn append(log: &Log, count: u64) {
    for _ in 0..count {
        let number = log.end().number;
        log.try_append(&[&number.to_le_bytes(), &[b'.'; 92]]).expect("there is room");
    }
}

/// A log of that many records, four of them synced at a time; a segment holds 36.
fn log_of(disk: &SimDisk, records: u64) -> (Log, Writer) {
    let (log, mut writer) = open(disk);
    log.consumer("lake", StartAt::Oldest);
    for _ in 0..records / 4 {
        append(&log, 4);
        writer.commit();
    }
    (log, writer)
}

fn numbers(log: &Log) -> Result<Vec<u64>, ReadError> {
    let mut cursor = log.cursor(log.start());
    let mut numbers = Vec::new();
    while let Some(Entry { payload, .. }) = cursor.try_next()? {
        numbers.push(u64::from_le_bytes(payload[..8].try_into().expect("eight bytes")));
    }
    Ok(numbers)
}

fn segments(disk: &SimDisk) -> Vec<String> {
    disk.file_names().into_iter().filter(|name| name.ends_with(".segment")).collect()
}

/// The error of an opening that must fail, and that it changes nothing.
fn refused(disk: &SimDisk) -> String {
    let before = (disk.file_names(), disk.used_bytes());
    let error = try_open(disk).err().expect("it must not open");
    assert_eq!((disk.file_names(), disk.used_bytes()), before);
    error.to_string()
}

#[test]
fn a_new_directory_is_an_empty_log() {
    let disk = SimDisk::new(1);
    let (log, _) = open(&disk);
    assert_eq!((log.start(), log.end()), Default::default());
    assert!(numbers(&log).expect("nothing to read").is_empty());
}

#[test]
fn a_torn_tail_is_cut_at_the_first_bad_record_and_its_space_comes_back() {
    for cut in 1..108 {
        let disk = SimDisk::new(1);
        drop(log_of(&disk, 12));
        let name = &segments(&disk)[0];
        disk.tamper(name, |bytes| bytes.truncate(bytes.len() - cut));
        let (log, mut writer) = open(&disk);
        assert_eq!(log.end().number, 11, "{cut} bytes are missing");
        append(&log, 1);
        writer.commit();
        assert_eq!(numbers(&log).expect("sound records"), (0..12).collect::<Vec<_>>());
        let bytes: u64 = segments(&disk)
            .iter()
            .map(|name| disk.open(name).expect("it is there").size().expect("it has one"))
            .sum();
        assert_eq!(bytes, log.usage().bytes);
        assert!(bytes <= 2 * 64 + 12 * 108 + 12 * 8, "{bytes}");
    }
}

#[test]
fn bytes_that_were_never_synced_may_be_anything() {
    let disk = SimDisk::new(1);
    drop(log_of(&disk, 12));
    disk.tamper(&segments(&disk)[0], |bytes| {
        let end = bytes.len();
        bytes[end - 200..].fill(0xff);
        bytes.extend([0; 3000]);
    });
    let (log, _) = open(&disk);
    assert_eq!(log.end().number, 10);
}

#[test]
fn damage_before_the_last_mark_is_not_taken_for_a_torn_tail() {
    // the last mark is in record 8, and says that those before it were on disk
    for record in 0..8 {
        let disk = SimDisk::new(1);
        let (log, _) = log_of(&disk, 12);
        let mut cursor = log.cursor(log.start());
        let damaged =
            (0..=record).map(|_| cursor.try_next().expect("it is sound").expect("it is there")).last();
        let damaged = damaged.expect("there is one");
        disk.tamper(&segments(&disk)[0], |bytes| bytes[64 + damaged.next.byte as usize - 1] ^= 1);
        let begin = 64 + damaged.at.byte;
        let expected = format!("/sim/0000000000.segment is damaged at byte {begin}: no sound record is here");
        let error = refused(&disk);
        assert!(error.starts_with(&expected), "{error}");
    }
}

#[test]
fn damage_is_told_from_a_torn_tail_however_long_the_records() {
    let options = || Options { bytes_max: 64 << 20, segment_bytes_max: 16 << 20, ..Options::default() };
    let options = || Options { unsynced_bytes_max: 8 << 20, ..options() };
    let disk = SimDisk::new(1);
    let (log, mut writer) = Log::open_stepped(Arc::new(disk.clone()), options()).expect("a new log");
    for len in [10, 5 << 20, 5 << 20, 10] {
        log.try_append(&[&vec![0xff; len]]).expect("there is room");
        writer.commit();
    }
    drop((log, writer));
    let reopen = || Log::open_stepped(Arc::new(disk.clone()), options());
    assert_eq!(reopen().expect("it is sound").0.end().number, 4);
    disk.tamper(&segments(&disk)[0], |bytes| *bytes.last_mut().expect("it has bytes") ^= 1);
    assert_eq!(reopen().expect("the tail is torn").0.end().number, 3);
    disk.tamper(&segments(&disk)[0], |bytes| bytes[64 + 18 + 20] ^= 1);
    let error = reopen().err().expect("it is damaged").to_string();
    assert!(error.contains("is damaged at byte 82"), "{error}");
}

#[test]
fn damage_before_what_the_watermarks_know_is_not_taken_for_a_torn_tail() {
    let disk = SimDisk::new(1);
    let (log, mut writer) = log_of(&disk, 12);
    log.consumer("twin", StartAt::Newest);
    writer.commit();
    drop((log, writer));
    disk.tamper(&segments(&disk)[0], |bytes| *bytes.last_mut().expect("it has bytes") ^= 1);
    assert!(refused(&disk).contains("at least 108 bytes more were on disk"));
}

#[test]
fn damage_in_an_older_segment_is_reported_where_it_is_and_never_skipped() {
    let disk = SimDisk::new(1);
    drop(log_of(&disk, 100));
    disk.tamper(&segments(&disk)[0], |bytes| bytes[64 + 50] ^= 1);
    let (log, _) = open(&disk);
    let mut cursor = log.cursor(log.start());
    for _ in 0..2 {
        let error = cursor.try_next().expect_err("the record is damaged");
        assert_eq!(
            error.to_string(),
            "/sim/0000000000.segment is damaged at byte 64: no sound record is here"
        );
    }
}

#[test]
fn a_segment_that_is_short_or_missing_is_reported() {
    let disk = SimDisk::new(1);
    let (log, mut writer) = log_of(&disk, 100);
    log.consumer("twin", StartAt::Oldest);
    writer.commit();
    drop((log, writer));
    let all = segments(&disk);
    assert_eq!(all.len(), 3);

    disk.tamper(&all[1], |bytes| bytes.truncate(bytes.len() - 1));
    assert!(refused(&disk).contains("0000000001.segment is damaged at byte"));
    disk.lose(&all[1]);
    assert!(refused(&disk).contains("0000000000.segment is damaged at byte"));
    disk.lose(&all[0]);
    assert!(refused(&disk).contains("older ones are still needed"));
    disk.lose(&all[2]);
    assert!(refused(&disk).contains("all segments are missing"));
}

#[test]
fn a_log_without_its_watermarks_is_reported() {
    let disk = SimDisk::new(1);
    drop(log_of(&disk, 4));
    disk.lose("watermarks.a");
    disk.lose("watermarks.b");
    let error = try_open(&disk).err().expect("it must not open");
    assert!(error.to_string().contains("watermarks.a is damaged at byte 0"), "{error}");
}

#[test]
fn a_file_of_another_log_is_reported() {
    let (disk, other) = (SimDisk::new(1), SimDisk::new(2));
    drop((log_of(&disk, 4), log_of(&other, 4)));
    let mut foreign = Vec::new();
    other.tamper("0000000000.segment", |bytes| foreign.clone_from(bytes));
    disk.tamper("0000000000.segment", |bytes| *bytes = foreign);
    assert!(refused(&disk).contains("it belongs to another log"));
}

#[test]
fn a_newer_format_is_refused() {
    for file in ["0000000000.segment", "watermarks.a", "watermarks.b"] {
        let disk = SimDisk::new(1);
        drop(log_of(&disk, 8));
        disk.tamper(file, |bytes| bytes[8] = 2);
        assert_eq!(
            refused(&disk),
            format!("/sim/{file} has format version 2; this build reads versions up to 1")
        );
    }
}

#[test]
fn after_a_failed_sync_the_tail_goes_to_a_new_segment_before_it_counts() {
    let disk = SimDisk::new(1);
    let (log, mut writer) = log_of(&disk, 4);
    append(&log, 3);
    disk.set_faults(Faults { sync: 1.0, ..Faults::default() });
    writer.commit();
    assert_eq!(log.durable_end().number, 4);
    let stall = log.usage().stall.expect("it stalls");
    assert!(stall.message.starts_with("/sim/0000000000.segment: input/output error"), "{}", stall.message);
    assert!(!stall.disk_full);

    disk.set_faults(Faults::default());
    writer.commit();
    assert_eq!(log.durable_end().number, 7);
    assert_eq!(log.usage().stall, None);
    assert_eq!(segments(&disk).len(), 2);
    drop((log, writer));
    disk.restart_after_power_cut();
    let (log, mut writer) = open(&disk);
    writer.commit();
    assert_eq!(numbers(&log).expect("sound records"), (0..7).collect::<Vec<_>>());
}

#[test]
fn a_full_disk_pushes_back_and_goes_on_when_there_is_space() {
    let disk = SimDisk::new(1);
    let (log, mut writer) = log_of(&disk, 8);
    disk.set_capacity(disk.used_bytes() + 50);
    let refused = loop {
        let number = log.end().number;
        if let Err(e) = log.try_append(&[&number.to_le_bytes(), &[b'.'; 92]]) {
            break e;
        }
        writer.commit();
    };
    assert_eq!(refused, AppendError::Full);
    let usage = log.usage();
    assert!(usage.stall.expect("it stalls").disk_full);
    assert_eq!(log.durable_end().number + usage.records_unsynced, log.end().number);
    let calls = disk.calls();
    writer.commit();
    assert!(disk.calls() <= calls + 1, "a full disk is not written to");

    disk.set_capacity(1 << 20);
    writer.commit();
    assert_eq!(log.durable_end(), log.end());
    assert_eq!(numbers(&log).expect("sound records"), (0..log.end().number).collect::<Vec<_>>());
}

#[test]
fn a_full_log_pushes_back_until_the_slowest_consumer_has_advanced() {
    let disk = SimDisk::new(1);
    let (log, mut writer) = log_of(&disk, 0);
    let (lake, twin) = (log.consumer("lake", StartAt::Oldest), log.consumer("twin", StartAt::Oldest));
    let fill = |writer: &mut Writer| {
        while log.try_append(&[&[0; 500]]).is_ok() {
            writer.commit();
        }
        log.usage().bytes
    };
    let full = fill(&mut writer);
    assert!((15 << 10..=16 << 10).contains(&full), "{full}");

    lake.advance(log.end());
    writer.commit();
    assert_eq!(log.try_append(&[&[0; 500]]), Err(AppendError::Full), "the other consumer needs it");
    twin.advance(log.end());
    writer.commit();
    assert_eq!(segments(&disk).len(), 1, "what is appended to stays");
    assert!(fill(&mut writer) > full - 1000);

    log.remove_consumer("twin");
    lake.advance(log.end());
    writer.commit();
    assert!(log.try_append(&[&[0; 500]]).is_ok(), "who was removed holds back nothing");
}

#[test]
fn usage_counts_what_not_every_consumer_is_done_with() {
    let disk = SimDisk::new(1);
    let (log, mut writer) = log_of(&disk, 8);
    let lake = log.consumer("lake", StartAt::Oldest);
    append(&log, 2);
    let usage = log.usage();
    assert_eq!((usage.records, usage.records_unsynced), (10, 2));
    assert!(usage.oldest_age.is_some());
    assert_eq!(usage.full_in(), None, "no rate is known yet");
    lake.advance(log.durable_end());
    assert_eq!((log.usage().records, lake.lag().records), (2, 2));
    writer.commit();
    lake.advance(log.end());
    assert_eq!((log.usage().records, log.usage().oldest_age), (0, None));
}

#[test]
fn a_record_that_never_fits_is_refused_as_such() {
    let (log, _writer) = open(&SimDisk::new(1));
    let longest = OPTIONS().unsynced_bytes_max as usize - 16;
    assert!(log.try_append(&[&vec![0; longest]]).is_ok());
    let error = log.try_append(&[&vec![0; longest], &[0]]);
    assert_eq!(error, Err(AppendError::TooLong { len: longest + 1, len_max: longest as u64 }));
}

#[test]
fn a_reader_behind_the_watermarks_is_told_that_the_records_are_gone() {
    let disk = SimDisk::new(1);
    let (log, mut writer) = log_of(&disk, 100);
    let mut cursor = log.cursor(log.start());
    log.consumer("lake", StartAt::Oldest).advance(log.end());
    writer.commit();
    assert!(matches!(cursor.try_next(), Err(ReadError::Gone(start)) if start.number == 100));
}

#[test]
fn a_reader_asks_again_after_an_error_of_the_disk() {
    let disk = SimDisk::new(1);
    let (log, _writer) = log_of(&disk, 8);
    let mut cursor = log.cursor(log.start());
    disk.set_faults(Faults { read: 1.0, ..Faults::default() });
    assert!(matches!(cursor.try_next(), Err(ReadError::Io { .. })));
    disk.set_faults(Faults::default());
    assert_eq!(cursor.try_next().expect("it is sound").map(|entry| entry.at.number), Some(0));
}

/// A table that could not be synced is still what the next process reads. It must be on disk before the other file, the
/// last one that surely is, is written over.
#[test]
fn watermarks_that_are_only_in_the_page_cache_are_not_built_upon() {
    // longer than a sector, so that it can be torn
    let note = |log: &Log, memo| {
        log.consumer("lake", StartAt::Oldest).advance_with(log.start(), [memo; 3000].to_vec().into())
    };
    for seed in 0..100 {
        let disk = SimDisk::new(seed);
        let (log, mut writer) = log_of(&disk, 8);
        for memo in *b"ab" {
            note(&log, memo);
            writer.commit();
        }
        disk.set_faults(Faults { sync: 1.0, ..Faults::default() });
        note(&log, b'c');
        writer.commit();
        disk.set_faults(Faults::default());
        disk.restart_after_kill();

        let (log, mut writer) = open(&disk);
        assert_eq!(log.consumer("lake", StartAt::Oldest).memo()[..], [b'c'; 3000]);
        disk.cut_power_after(seed % 5);
        note(&log, b'd');
        writer.commit();
        disk.restart_after_power_cut();
        let (log, _writer) = open(&disk);
        let memo = log.consumer("lake", StartAt::Oldest).memo();
        assert!(memo >= [b'b'; 3000][..], "{memo:?}");
    }
}

/// Every moment of a life with several segments, a failed sync, deletions and restarts is a moment for the power to go.
#[test]
fn the_power_may_go_at_any_call() {
    let mut calls = 0;
    loop {
        let disk = SimDisk::new(calls);
        disk.cut_power_after(calls);
        let mut durable = 0;
        let mut done = 0;
        let lived = live(&disk, &mut durable, &mut done);
        if lived.is_ok() {
            break;
        }
        disk.restart_after_power_cut();
        let (log, mut writer) = open(&disk);
        writer.commit();
        let found = numbers(&log).expect("sound records");
        assert!(log.start().number <= done, "after {calls} calls");
        assert!(log.end().number >= durable, "after {calls} calls: {} of {durable}", log.end().number);
        assert_eq!(found, (log.start().number..log.end().number).collect::<Vec<_>>(), "after {calls} calls");
        calls += 1;
    }
    assert!(calls > 100, "{calls}");
}

fn live(disk: &SimDisk, durable: &mut u64, done: &mut u64) -> Result<(), ()> {
    for life in 0..3 {
        let (log, mut writer) = try_open(disk).map_err(|_| ())?;
        let lake = log.consumer("lake", StartAt::Oldest);
        for _ in 0..10 {
            append(&log, 7);
            writer.commit();
            *durable = log.durable_end().number.max(*durable);
            let mut cursor = lake.cursor();
            for _ in 0..5 {
                let Ok(Some(entry)) = cursor.try_next() else { break };
                *done = entry.next.number;
                lake.advance(entry.next);
            }
            if disk.is_down() {
                return Err(());
            }
        }
        if life == 1 {
            disk.restart_after_kill();
        }
    }
    Ok(())
}

#[test]
fn closing_says_when_not_everything_is_on_disk() {
    let disk = SimDisk::new(1);
    let log = Log::open(Arc::new(disk.clone()), OPTIONS()).expect("the log opens");
    disk.set_faults(Faults { sync: 1.0, ..Faults::default() });
    append(&log, 1);
    let error = log.close().expect_err("nothing could be written").to_string();
    assert!(error.contains(&io::Error::other("input/output error (simulated)").to_string()), "{error}");
}
