//! `kill -9` of a real process: every record it was told is durable is there.

use std::env;
use std::io::{BufRead, BufReader, Write, stdout};
use std::process::{Command, Stdio};
use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tidegate_log::{Directory, Log, Options, StartAt};

const CHILD_DIR: &str = "TIDEGATE_LOG_KILL_DIR";
const ROUNDS: u64 = 50;
/// Records the child has under way at a time.
const WINDOW: u64 = 20;

fn open(dir: &str) -> Log {
    let options = Options {
        bytes_max: 8 << 20,
        segment_bytes_max: 64 << 10,
        unsynced_bytes_max: 16 << 10,
        sync_bytes_max: 4 << 10,
        ..Options::default()
    };
    Log::open(Arc::new(Directory::open(dir).expect("the directory is free")), options).expect("the log opens")
}

/// A record that says its number, of a length that depends on it.
fn payload(number: u64) -> Vec<u8> {
    let mut payload = number.to_le_bytes().to_vec();
    payload.resize(8 + (number * 7919 % 400) as usize, number as u8);
    payload
}

/// Not a test of its own: the process that the other one kills. It prints each number that is durable.
#[test]
fn child() {
    let Ok(dir) = env::var(CHILD_DIR) else { return };
    let log = open(&dir);
    let mut under_way = std::collections::VecDeque::new();
    loop {
        let number = log.end().number;
        under_way.push_back(log.blocking_append(&[&payload(number)]).expect("the log is open"));
        if under_way.len() as u64 == WINDOW {
            let at = under_way.pop_front().expect("there are some");
            log.blocking_durable(at).expect("the log is open");
            writeln!(stdout(), "durable {}", at.number).expect("the parent reads");
        }
    }
}

#[test]
fn what_was_durable_outlives_kill_9() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path().join("log").into_os_string().into_string().expect("UTF-8");
    let mut random = SmallRng::seed_from_u64(9);
    let mut read = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(env::current_exe().expect("this test"))
            .args(["kill::child", "--exact", "--nocapture"])
            .env(CHILD_DIR, &dir)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the child starts");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut durable = None;
        let mut left = random.random_range(1..400);
        for line in lines {
            let line = line.expect("a line");
            if let Some(number) = line.strip_prefix("durable ") {
                durable = number.parse::<u64>().ok();
                left -= 1;
            }
            if left == 0 {
                // and what it says until it is dead counts as well
                child.kill().expect("it lives");
                left = i32::MAX;
            }
        }
        child.wait().expect("it is dead");

        let durable = durable.expect("the child said something");
        let log = open(&dir);
        assert!(log.end().number > durable, "round {round}: {} of {durable}", log.end().number);
        let lake = log.consumer("lake", StartAt::Oldest);
        let mut cursor = lake.cursor();
        assert_eq!(cursor.position().number, read, "round {round}");
        while cursor.position() < log.end() {
            let entry = cursor.blocking_next().expect("a sound record");
            assert_eq!(entry.at.number, read);
            assert!(entry.payload == payload(read), "round {round}: record {read} is not what was appended");
            read += 1;
        }
        lake.advance(cursor.position());
        log.close().expect("it is on disk");
    }
    assert!(read > ROUNDS * WINDOW, "{read}");
}
