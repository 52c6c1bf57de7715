//! Transformations beside VRL: the same messages through both in one process, in turns, JSON bytes in, JSON bytes out.
//! Fails if they do not agree, or if a ratio is below its gate.
//!
//! `cargo run --release --manifest-path benches-vrl/Cargo.toml [rounds [program]]`

mod clock;
mod messages;
mod programs;

use std::hint::black_box;
use std::process::ExitCode;

use bytes::Bytes;
use serde_json::Value;
use tidegate_core::Properties;

use crate::programs::{DEVICES, Pair, Vrl, pairs, run_ours};

#[global_allocator]
static ALLOCATOR: clock::Counting = clock::Counting;

/// How many outgoing messages are kept at a time.
const BATCH: usize = 100;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let rounds = arguments.next().map_or(60, |rounds| rounds.parse().expect("a number of rounds"));
    let only = arguments.next().unwrap_or_default();
    let messages = messages::messages(DEVICES);
    let mut missed = false;
    println!("{} messages of {} bytes, {rounds} rounds, medians", messages.len(), messages::LEN);
    println!("| program | ns | allocations | VRL ns | VRL allocations | ratio | gate | goal |");
    println!("|---|---|---|---|---|---|---|---|");
    for mut pair in pairs().into_iter().filter(|pair| pair.name.starts_with(&only)) {
        check(&mut pair, &messages);
        let count = messages.len() as f64;
        let (mut times, mut vrl_times, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            let ns = time(|| ours(&mut pair, &messages)) / count;
            times.push(ns);
            if let Some((vrl, ..)) = &mut pair.vrl {
                let vrl_ns = time(|| run_vrl(vrl, &messages)) / count;
                vrl_times.push(vrl_ns);
                // of times a moment apart: the machine has other work, which comes and goes
                ratios.push(vrl_ns / ns);
            }
        }
        let ns = median(times);
        let allocations = clock::allocations(|| ours(&mut pair, &messages)) as f64 / count;
        let name = pair.name;
        match &mut pair.vrl {
            None => println!("| {name} | {ns:.0} | {allocations:.2} | | | | | |"),
            Some((vrl, gate, goal)) => {
                let vrl_allocations = clock::allocations(|| run_vrl(vrl, &messages)) as f64 / count;
                let (vrl_ns, ratio) = (median(vrl_times), median(ratios));
                println!(
                    "| {name} | {ns:.0} | {allocations:.2} | {vrl_ns:.0} | {vrl_allocations:.0} | {ratio:.2} | {gate} | {goal} |"
                );
                missed |= ratio < *gate;
            }
        }
    }
    if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn ours(pair: &mut Pair, messages: &[Bytes]) {
    let properties = Properties::default();
    let mut kept = [const { None }; BATCH];
    for batch in messages.chunks(BATCH) {
        for (place, payload) in kept.iter_mut().zip(batch) {
            *place = run_ours(&mut pair.ours, payload, &properties);
        }
        black_box(&kept);
    }
}

fn run_vrl(vrl: &mut Vrl, messages: &[Bytes]) {
    let mut out = Vec::with_capacity(BATCH * 1000);
    for batch in messages.chunks(BATCH) {
        out.clear();
        for payload in batch {
            black_box(vrl.run(payload, &mut out));
        }
        black_box(&out);
    }
}

/// Both make the same of every message.
fn check(pair: &mut Pair, messages: &[Bytes]) {
    let mut passed = 0;
    for payload in messages {
        let ours = run_ours(&mut pair.ours, payload, &Properties::default());
        passed += usize::from(ours.is_some());
        if let Some((vrl, ..)) = &mut pair.vrl {
            let mut out = Vec::new();
            let theirs = vrl.run(payload, &mut out).then_some(out);
            assert_eq!(read(ours.as_deref()), read(theirs.as_deref()), "{payload:?}");
        }
    }
    let filters = pair.name.starts_with("P1") || pair.name.starts_with("P3");
    assert_eq!(passed, if filters { messages.len() * 9 / 10 } else { messages.len() });
}

/// With all numbers as floats.
fn read(payload: Option<&[u8]>) -> Option<Value> {
    fn floats(value: Value) -> Value {
        match value {
            Value::Number(number) => number.as_f64().into(),
            Value::Array(items) => items.into_iter().map(floats).collect(),
            Value::Object(members) => members.into_iter().map(|(name, value)| (name, floats(value))).collect(),
            other => other,
        }
    }
    payload.map(|bytes| floats(serde_json::from_slice(bytes).expect("JSON")))
}

fn time(work: impl FnOnce()) -> f64 {
    let start = clock::now();
    work();
    clock::now() - start
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
