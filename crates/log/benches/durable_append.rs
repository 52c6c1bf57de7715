//! What the log takes: records per second and bytes per second of CPU at 256 bytes, and how long one record alone takes
//! to become durable. `cargo bench -p tidegate-log`; `TMPDIR` says on which disk.
#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tidegate_log::{Directory, Log, Options, StartAt};

const RECORD: [u8; 256] = [b'.'; 256];
const RUN: Duration = Duration::from_secs(4);

fn main() {
    println!("256-byte records, fdatasync every 10 ms or 1 MiB, in {}", std::env::temp_dir().display());
    one_appends_as_fast_as_it_can("append, nobody reads", false);
    one_appends_as_fast_as_it_can("append, one reads and advances", true);
    many_wait_for_each_record(1);
    many_wait_for_each_record(8);
    many_wait_for_each_record(64);
    fixed_rate(20_000);
    backlog(2_000_000);
}

struct Bench {
    log: Log,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let options = Options { bytes_max: 8 << 30, ..Options::default() };
        let disk = Directory::open(dir.path()).expect("the directory is free");
        Self { log: Log::open(Arc::new(disk), options).expect("a new log"), _dir: dir }
    }
}

/// What something took by the clock and on the CPUs.
struct Took {
    wall: Duration,
    cpu: Duration,
}

fn measure(what: impl FnOnce()) -> Took {
    let cpu = || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
    };
    let (wall_before, cpu_before) = (Instant::now(), cpu());
    what();
    Took { wall: wall_before.elapsed(), cpu: cpu() - cpu_before }
}

fn print_rate(name: &str, records: u64, took: &Took) {
    let mb = (records * RECORD.len() as u64) as f64 / 1e6;
    println!(
        "{name:<34} {:>9.0} records/s {:>7.1} MB/s {:>7.0} MB per CPU-second",
        records as f64 / took.wall.as_secs_f64(),
        mb / took.wall.as_secs_f64(),
        mb / took.cpu.as_secs_f64(),
    );
}

fn one_appends_as_fast_as_it_can(name: &str, read: bool) {
    let bench = Bench::new();
    let log = &bench.log;
    let consumer = log.consumer("lake", StartAt::Oldest);
    let mut records = 0;
    let took = measure(|| {
        thread::scope(|scope| {
            let reader = read.then(|| {
                scope.spawn(|| {
                    let mut cursor = consumer.cursor();
                    while let Ok(entry) = cursor.blocking_next() {
                        if entry.at.number % 5000 == 0 || entry.next == log.end() {
                            consumer.advance(entry.next);
                        }
                    }
                })
            });
            let end = Instant::now() + RUN;
            while Instant::now() < end {
                for _ in 0..100 {
                    log.blocking_append(&[&RECORD]).expect("the log is open");
                }
                records += 100;
            }
            log.close().expect("it is on disk");
            if let Some(reader) = reader {
                reader.join().expect("no panic");
            }
        });
    });
    print_rate(name, records, &took);
}

fn many_wait_for_each_record(threads: usize) {
    let bench = Bench::new();
    let log = &bench.log;
    let mut latencies = Vec::new();
    let took = measure(|| {
        thread::scope(|scope| {
            let end = Instant::now() + RUN;
            let one = move || {
                let mut latencies = Vec::new();
                while Instant::now() < end {
                    let begin = Instant::now();
                    let at = log.blocking_append(&[&RECORD]).expect("the log is open");
                    log.blocking_durable(at).expect("the log is open");
                    latencies.push(begin.elapsed());
                }
                latencies
            };
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
            for thread in threads {
                latencies.extend(thread.join().expect("no panic"));
            }
        });
    });
    latencies.sort_unstable();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    println!(
        "{threads:>2} waiting for each record          {:>9.0} records/s, durable after {:?} (median), {:?} (p99)",
        latencies.len() as f64 / took.wall.as_secs_f64(),
        at(0.5),
        at(0.99),
    );
}

fn fixed_rate(per_second: u64) {
    let bench = Bench::new();
    let log = &bench.log;
    let took = measure(|| {
        let begin = Instant::now();
        for milli in 0..3000 {
            thread::sleep((begin + Duration::from_millis(milli)).saturating_duration_since(Instant::now()));
            for _ in 0..per_second / 1000 {
                log.blocking_append(&[&RECORD]).expect("the log is open");
            }
        }
    });
    println!("{per_second} records/s for 3 s             {:>9.2} CPU-seconds", took.cpu.as_secs_f64());
}

fn backlog(records: u64) {
    let bench = Bench::new();
    let log = &bench.log;
    let consumer = log.consumer("lake", StartAt::Oldest);
    for _ in 0..records {
        log.blocking_append(&[&RECORD]).expect("the log is open");
    }
    log.blocking_saved().expect("the log is open");
    let before = log.usage().bytes;
    let took = measure(|| {
        let mut cursor = consumer.cursor();
        for number in 1..=records {
            let entry = cursor.blocking_next().expect("a sound record");
            if number % 5000 == 0 {
                consumer.advance(entry.next);
            }
        }
        log.blocking_saved().expect("the log is open");
    });
    print_rate("a backlog, read and given back", records, &took);
    println!("  {} MB before, {} MB after", before >> 20, log.usage().bytes >> 20);
}
