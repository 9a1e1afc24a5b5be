//! Compares this build with another one, on the same servers in one run: the ratio of each round, so that drift of
//! the machine cancels out.

use crate::contenders::{CALLING_PODS, Field, before, line_up_builds};
use crate::load::{Load, Run};
use crate::report::median;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

/// More rounds than the long form, to detect differences of a few per cent.
const ROUNDS: usize = 9;
const LOAD: Load = Load { connections: 64, lasts: Duration::from_secs(4) };
/// Number of tokens for one round of one build.
const TOKENS: usize = 2000;

/// Measures the contenders whose names contain a word, and returns the section of RESULTS.md.
pub async fn against(binary: &Path, word: &str) -> String {
    let mut field = line_up_builds(binary).await;
    field.contenders.retain(|contender| contender.name.contains(word));
    let mut runs: Vec<Vec<Run>> = field.contenders.iter().map(|_| Vec::new()).collect();
    for round in 0..=ROUNDS {
        // The order alternates.
        let mut order: Vec<usize> = (0..field.contenders.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for at in order {
            let run = one(&field, at, round).await;
            // The first round is a warm-up and is not counted.
            if round > 0 {
                runs[at].push(run);
            }
        }
    }
    let word = if word.is_empty() { String::new() } else { format!(" '{word}'") };
    table(&format!("{}{word}", binary.display()), &field, &runs)
}

async fn one(field: &Field, at: usize, round: usize) -> Run {
    let contender = &field.contenders[at];
    field.fill(contender.name, TOKENS).await;
    let run = LOAD.on(contender).await;
    eprintln!("{round}/{ROUNDS} {}: {:.0}/s", contender.name, run.per_second);
    run
}

fn table(arguments: &str, field: &Field, runs: &[Vec<Run>]) -> String {
    let mut text = format!(
        "\n## Against the build before\n\nWritten by `load-test against {arguments}`. {} connections, {} s for each build in each of {ROUNDS} rounds, in turns.\n\
         A ratio is the median of the rounds' own, this build over the one before; least and most are those of single rounds.\n\
         Replicas on PostgreSQL are called by {CALLING_PODS} pods in turn, in both builds.\n\n\
         | what | cycles/s | before | ratio | least | most | p99 ms | before | CPU s / 1,000 | before | ratio |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        LOAD.connections,
        LOAD.lasts.as_secs(),
    );
    let place = |name: &str| field.contenders.iter().position(|contender| contender.name == name);
    for (now, contender) in field.contenders.iter().enumerate() {
        let Some(then) = before(contender.name).and_then(place) else { continue };
        let middle = |at: usize, what: fn(&Run) -> f64| median(runs[at].iter().map(what).collect());
        let ratios = |what: fn(&Run) -> f64| -> Vec<f64> {
            runs[now].iter().zip(&runs[then]).map(|(now, then)| what(now) / what(then)).collect()
        };
        let speeds = ratios(|run| run.per_second);
        let (least, most) = speeds.iter().fold((f64::MAX, 0.0), |(least, most), one| (one.min(least), one.max(most)));
        let _ = writeln!(
            text,
            "| {} | {:.0} | {:.0} | {:.2} | {least:.2} | {most:.2} | {:.1} | {:.1} | {:.3} | {:.3} | {:.2} |",
            contender.name,
            middle(now, |run| run.per_second),
            middle(then, |run| run.per_second),
            median(speeds),
            middle(now, |run| f64::from(run.p99) / 1000.0),
            middle(then, |run| f64::from(run.p99) / 1000.0),
            middle(now, |run| run.cpu_seconds),
            middle(then, |run| run.cpu_seconds),
            median(ratios(|run| run.cpu_seconds)),
        );
    }
    text
}
