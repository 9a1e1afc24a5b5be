//! The report of a load test: a table, a chart, and the ratios for the short form.

use crate::contenders::{
    BARE, CALLING_PODS, CHAIN, FORGETFUL, KV_READ, LOGIN, MEMORY, NEVER_SEEN, POSTGRES, REVIEWS, RUNS, VAULT_LOGIN,
    VAULT_READ, WRAP,
};
use crate::load::Run;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// A contender's runs, one per round.
pub struct Measured {
    pub name: &'static str,
    pub runs: Vec<Run>,
    /// Maximum peak memory of its processes, in MiB.
    pub peak_resident: f64,
}

/// All results.
pub struct Findings {
    pub measured: Vec<Measured>,
    /// Store reads per 1,000 builds with a cached token.
    pub reads_per_thousand: f64,
    /// Time from start to ready, in milliseconds.
    pub ready: f64,
    pub connections: usize,
    pub seconds: u64,
}

/// A ratio of two contenders' speeds and its minimum.
struct Goal {
    ours: &'static str,
    theirs: &'static str,
    at_least: f64,
}

const GOALS: [Goal; 7] = [
    Goal { ours: MEMORY, theirs: WRAP, at_least: 20.0 },
    Goal { ours: MEMORY, theirs: BARE, at_least: 0.5 },
    Goal { ours: NEVER_SEEN, theirs: REVIEWS, at_least: 0.8 },
    Goal { ours: RUNS, theirs: CHAIN, at_least: 0.8 },
    Goal { ours: NEVER_SEEN, theirs: LOGIN, at_least: 3.0 },
    Goal { ours: VAULT_READ, theirs: KV_READ, at_least: 3.0 },
    Goal { ours: VAULT_LOGIN, theirs: LOGIN, at_least: 3.0 },
];
/// The cost of a durable log. Not checked for a fall: a log in memory becomes slower as it grows.
const PRICE: Goal = Goal { ours: MEMORY, theirs: FORGETFUL, at_least: 0.8 };
/// Minimum cycles per second for three replicas.
const REPLICAS_AT_LEAST: f64 = 2000.0;
/// Maximum memory of a process in MiB.
const RESIDENT_AT_MOST: f64 = 64.0;
/// Maximum time to ready in milliseconds.
const READY_AT_MOST: f64 = 50.0;

impl Goal {
    fn name(&self) -> String {
        format!("{} / {}", self.ours, self.theirs)
    }
}

/// The median; of an even number of values the lower one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) / 2]
}

impl Findings {
    fn of(&self, name: &str) -> &Measured {
        self.measured.iter().find(|measured| measured.name == name).unwrap()
    }

    /// The ratios by name: the median of the ratios of the rounds, because the machine's speed drifts.
    pub fn ratios(&self) -> BTreeMap<String, f64> {
        GOALS.iter().map(|goal| (goal.name(), self.ratio(goal))).collect()
    }

    fn ratio(&self, goal: &Goal) -> f64 {
        let rounds = self.of(goal.ours).runs.iter().zip(&self.of(goal.theirs).runs);
        median(rounds.map(|(ours, theirs)| ours.per_second / theirs.per_second).collect())
    }

    /// The report for people.
    pub fn markdown(&self, command: &str, machine: &str) -> String {
        let mut text = format!(
            "# Load test\n\nWritten by `{command}`. {machine}. {} connections, {} s for each contender in each of {} rounds,\n\
             interleaved. A cycle is two requests: ask and redeem, wrap and unwrap, log in and read, read and read, review and look at the pod; with runs four:\n\
             review, and look at the pod, its TaskRun and its PipelineRun. Each token of a run has a pod and runs of its own.\n\
             Replicas on PostgreSQL are called by {CALLING_PODS} pods in turn, the other replicas with known tokens by one pod.\n\
             Every event is durable before it is answered (SQLite `synchronous=FULL`, PostgreSQL `synchronous_commit=on`), but\n\
             where the audit log is in memory, which is there to tell what that costs.\n\n\
             ![Cycles a second](results.svg)\n\n\
             | contender | cycles/s, median | least | most | p50 ms | p99 ms | CPU s / 1,000 | peak RSS MiB |\n\
             |---|--:|--:|--:|--:|--:|--:|--:|\n",
            self.connections,
            self.seconds,
            self.measured[0].runs.len(),
        );
        for Measured { name, runs, peak_resident } in &self.measured {
            let all = |what: fn(&Run) -> f64| runs.iter().map(what).collect::<Vec<_>>();
            let speeds = all(|run| run.per_second);
            let (least, most) =
                speeds.iter().fold((f64::MAX, 0.0), |(least, most), one| (one.min(least), one.max(most)));
            let _ = writeln!(
                text,
                "| {name} | {:.0} | {least:.0} | {most:.0} | {:.2} | {:.2} | {:.3} | {peak_resident:.0} |",
                median(speeds),
                median(all(|run| f64::from(run.p50) / 1000.0)),
                median(all(|run| f64::from(run.p99) / 1000.0)),
                median(all(|run| run.cpu_seconds)),
            );
        }
        text.push_str("\n| goal | wanted | measured | |\n|---|--:|--:|---|\n");
        let mut row = |what: &str, wanted: String, measured: String, met: bool| {
            let _ = writeln!(text, "| {what} | {wanted} | {measured} | {} |", if met { "met" } else { "**missed**" });
        };
        for goal in GOALS.iter().chain([&PRICE]) {
            let ratio = self.ratio(goal);
            row(&goal.name(), format!("at least {}", goal.at_least), format!("{ratio:.2}"), ratio >= goal.at_least);
        }
        let replicas = median(self.of(POSTGRES).runs.iter().map(|run| run.per_second).collect());
        row(
            &format!("{POSTGRES}, cycles/s"),
            format!("at least {REPLICAS_AT_LEAST}"),
            format!("{replicas:.0}"),
            replicas >= REPLICAS_AT_LEAST,
        );
        let resident = self.of(MEMORY).peak_resident;
        row(
            &format!("{MEMORY}, peak RSS in MiB"),
            format!("at most {RESIDENT_AT_MOST}"),
            format!("{resident:.0}"),
            resident <= RESIDENT_AT_MOST,
        );
        row(
            "ready after start, ms",
            format!("at most {READY_AT_MOST}"),
            format!("{:.0}", self.ready),
            self.ready <= READY_AT_MOST,
        );
        let _ =
            writeln!(text, "\nReads of the store for 1,000 builds with a known token: {:.2}.", self.reads_per_thousand);
        text
    }

    /// A bar chart of the contenders' speeds, on a logarithmic scale.
    pub fn picture(&self) -> String {
        const ROW: usize = 28;
        let height = self.measured.len() * ROW + 20;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"760\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
             <rect width=\"760\" height=\"{height}\" fill=\"#ffffff\"/>\n"
        );
        for (at, measured) in self.measured.iter().enumerate() {
            let speed = median(measured.runs.iter().map(|run| run.per_second).collect());
            let (y, length) = (at * ROW + 12, (speed.max(10.0).log10() - 1.0) * 110.0);
            let colour = if measured.name.starts_with("claviger") { "#2f6f4f" } else { "#9aa5b1" };
            let _ = writeln!(
                svg,
                "<text x=\"8\" y=\"{}\">{}</text><rect x=\"240\" y=\"{y}\" width=\"{length:.0}\" height=\"18\" fill=\"{colour}\"/>\
                 <text x=\"{:.0}\" y=\"{}\">{speed:.0}/s</text>",
                y + 14,
                measured.name,
                246.0 + length,
                y + 14,
            );
        }
        svg + "</svg>\n"
    }
}

/// The folder for results of the long form.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("load-tests")
}

/// Adds the section about another build to the long form's report, replacing an older one.
pub fn add(section: &str) {
    let file = folder().join("RESULTS.md");
    let found = std::fs::read_to_string(&file).unwrap();
    let kept = found.find("\n## Against").map_or(&*found, |at| &found[..at]);
    std::fs::write(&file, format!("{kept}{section}")).unwrap();
}

/// Ratios that have fallen by a third since the last long form.
pub fn fallen(ratios: &BTreeMap<String, f64>) -> Vec<String> {
    let before = std::fs::read_to_string(folder().join("ratios.json")).unwrap();
    let before: BTreeMap<String, f64> = serde_json::from_str(&before).unwrap();
    // Goals that were added since then are compared from the next long form on.
    let known = before.keys().all(|name| ratios.contains_key(name));
    assert!(known && before.len() > 3, "ratios.json is of another test: make load-test");
    let fallen = |(name, before): (&String, &f64)| {
        let now = ratios[name];
        (now < before * 2.0 / 3.0).then(|| format!("{name}: {now:.2}, and was {before:.2}"))
    };
    before.iter().filter_map(fallen).collect()
}
