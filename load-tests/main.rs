//! Load tests: Claviger compared with the alternatives that users have, on real servers, in one run.
//!
//! `make load-test` is the long form, which writes RESULTS.md. Arguments: `against BINARY [WORD]` adds the ratios of this
//! build to another one, of the contenders whose names contain the word; `short` is the form for CI, which fails if a ratio has fallen by a third; `soak MINUTES`
//! checks that memory and descriptors do not grow; `only NAME SECONDS [CONNECTIONS ...]` loads one contender, for
//! use with a profiler.
#![allow(clippy::unwrap_used, missing_docs, reason = "what is not as it should be ends the test")]

mod against;
mod bare;
mod connection;
mod contenders;
mod load;
mod process;
mod report;
#[allow(dead_code, reason = "the tests use the rest of it")]
#[path = "../tests/it/rig/mod.rs"]
mod rig;
mod soak;
mod tokens;

use contenders::{Field, MEMORY};
use load::{Load, Run};
use report::{Findings, Measured, median};
use rig::claviger::Claviger;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// The extent of a measurement.
struct Form {
    rounds: usize,
    load: Load,
    /// Number of tokens for a run.
    tokens: usize,
    starts: usize,
}

const LONG: Form =
    Form { rounds: 3, load: Load { connections: 64, lasts: Duration::from_secs(5) }, tokens: 2000, starts: 11 };
const SHORT: Form =
    Form { rounds: 3, load: Load { connections: 64, lasts: Duration::from_secs(1) }, tokens: 400, starts: 3 };

/// For runs of hours: at full speed the memory of each ticket, kept for five minutes, would fill the machine.
const SOAK: Load = Load { connections: 16, lasts: Duration::from_secs(5) };

/// Measurements before the short form reports a regression.
const TRIES: usize = 3;

#[tokio::main]
async fn main() {
    let argument = std::env::args().nth(1).unwrap_or_default();
    if argument == bare::ARGUMENT {
        return bare::serve().await;
    }
    if argument == "soak" {
        let minutes = std::env::args().nth(2).and_then(|minutes| minutes.parse().ok()).expect("soak MINUTES");
        return soak::soak(&contenders::line_up(1).await, minutes, SOAK).await;
    }
    if argument == "only" {
        let rest: Vec<String> = std::env::args().skip(2).collect();
        let [name, seconds, counts @ ..] = &*rest else { panic!("only NAME SECONDS [CONNECTIONS ...]") };
        let counts: Vec<usize> = counts.iter().map(|count| count.parse().expect("CONNECTIONS is a number")).collect();
        return only(name, Duration::from_secs(seconds.parse().expect("SECONDS is a number")), &counts).await;
    }
    if argument == "against" {
        let binary = std::env::args().nth(2).expect("against BINARY");
        let word = std::env::args().nth(3).unwrap_or_default();
        let text = against::against(Path::new(&binary), &word).await;
        println!("{text}");
        return report::add(&text);
    }
    if argument == "short" {
        return short().await;
    }
    let ready = ready(LONG.starts);
    let findings = measure(&contenders::line_up(LONG.tokens).await, &LONG, ready).await;
    let text = findings.markdown("make load-test", &machine());
    println!("{text}");
    let folder = report::folder();
    fs::write(folder.join("RESULTS.md"), text).unwrap();
    fs::write(folder.join("results.svg"), findings.picture()).unwrap();
    fs::write(folder.join("ratios.json"), serde_json::to_string_pretty(&findings.ratios()).unwrap() + "\n").unwrap();
}

/// Fails if a ratio has fallen. It measures again first, because other load on the machine can be the cause.
async fn short() {
    let ready = ready(SHORT.starts);
    let field = contenders::line_up(SHORT.tokens).await;
    let mut fallen = Vec::new();
    for _ in 0..TRIES {
        let findings = measure(&field, &SHORT, ready).await;
        println!("{}", findings.markdown("make load-test-short", &machine()));
        fallen = report::fallen(&findings.ratios());
        if fallen.is_empty() {
            return;
        }
        eprintln!("slower by a third or more: {fallen:#?}");
    }
    panic!("slower by a third or more, {TRIES} times: {fallen:#?}");
}

/// Loads one contender and prints its processes first; runs once for each number of connections.
async fn only(name: &str, lasts: Duration, counts: &[usize]) {
    let field = contenders::line_up(LONG.tokens).await;
    let contender = field.contenders.iter().find(|one| one.name == name).expect("a contender's name");
    field.fill(name, LONG.tokens).await;
    println!("processes: {:?}", contender.processes);
    let usual = [LONG.load.connections];
    for &connections in if counts.is_empty() { &usual } else { counts } {
        let run = Load { connections, lasts }.on(contender).await;
        println!(
            "{connections} connections: {:.0}/s, p50 {} us, p99 {} us, {:.3} CPU s for 1,000 cycles, at most {:.0} MiB",
            run.per_second,
            run.p50,
            run.p99,
            run.cpu_seconds,
            process::peak_resident(&contender.processes)
        );
    }
}

async fn measure(field: &Field, form: &Form, ready: f64) -> Findings {
    let mut runs: Vec<Vec<Run>> = field.contenders.iter().map(|_| Vec::new()).collect();
    let mut reads = (0, 0);
    for round in 0..=form.rounds {
        for (contender, runs) in field.contenders.iter().zip(&mut runs) {
            field.fill(contender.name, form.tokens).await;
            let before = field.replicas[field.counted].sum("claviger_store_requests_total");
            // The first round is a warm-up and is not counted.
            let load = if round == 0 { Load { lasts: form.load.lasts / 5, ..form.load } } else { form.load };
            let run = load.on(contender).await;
            eprintln!("{round}/{} {}: {:.0}/s", form.rounds, contender.name, run.per_second);
            if round == 0 {
                continue;
            }
            if contender.name == MEMORY {
                let after = field.replicas[field.counted].sum("claviger_store_requests_total");
                reads = (reads.0 + after - before, reads.1 + run.cycles);
            }
            runs.push(run);
        }
    }
    let measured = field.contenders.iter().zip(runs).map(|(contender, runs)| Measured {
        name: contender.name,
        runs,
        peak_resident: process::peak_resident(&contender.processes),
    });
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
    let reads_per_thousand = reads.0 as f64 * 1000.0 / reads.1 as f64;
    Findings {
        measured: measured.collect(),
        reads_per_thousand,
        ready,
        connections: form.load.connections,
        seconds: form.load.lasts.as_secs(),
    }
}

/// From start to the first `200` of `/readyz`, in milliseconds.
fn ready(starts: usize) -> f64 {
    let start = |_| {
        let started = Instant::now();
        let claviger = Claviger::sample();
        assert_eq!(rig::http::request(claviger.ops, "GET", "/readyz", &[], b"").status, 200);
        started.elapsed().as_secs_f64() * 1000.0
    };
    median((0..starts).map(start).collect())
}

/// A description of the machine.
fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
    format!("{cores} cores of {}, shared by all that is measured", name.trim_start_matches([' ', '\t', ':']))
}
