//! A load: a number of connections run a contender's cycle repeatedly for a time.

use crate::connection::{Connection, Server};
use crate::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Builds the first request of the `n`th cycle; `None` if the tokens are used up.
pub type First = dyn Fn(usize) -> Option<Vec<u8>> + Send + Sync;
/// Builds the next request from the answer before.
pub type Then = dyn Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync;

/// A contender: a cycle of two or more requests.
pub struct Contender {
    pub name: &'static str,
    /// Servers for the first request; each connection uses one of them.
    pub first_at: Vec<Server>,
    /// Servers for the other requests.
    pub then_at: Vec<Server>,
    pub first: Box<First>,
    pub then: Vec<Box<Then>>,
    /// The processes whose CPU time and memory are counted.
    pub processes: Vec<u32>,
}

/// The result of a load.
#[derive(Clone)]
pub struct Run {
    pub cycles: usize,
    pub per_second: f64,
    /// Duration of a whole cycle, in microseconds.
    pub p50: u32,
    pub p99: u32,
    /// CPU seconds of the contender's processes for 1,000 cycles.
    pub cpu_seconds: f64,
}

/// The amount of load.
#[derive(Clone, Copy)]
pub struct Load {
    pub connections: usize,
    pub lasts: Duration,
}

impl Load {
    /// Runs the load on a contender. Any answer but a success ends the whole test.
    pub async fn on(self, contender: &Arc<Contender>) -> Run {
        let (next, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let cpu = process::cpu_seconds(&contender.processes);
        let started = Instant::now();
        let workers: Vec<_> = (0..self.connections)
            .map(|worker| tokio::spawn(work(contender.clone(), worker, next.clone(), over.clone())))
            .collect();
        // The tokens may be used up earlier.
        while started.elapsed() < self.lasts && !over.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        over.store(true, Ordering::Relaxed);
        let seconds = started.elapsed().as_secs_f64();
        let mut took = Vec::new();
        for worker in workers {
            took.extend(worker.await.unwrap());
        }
        let cycles = took.len();
        assert!(cycles > 0, "{} did nothing", contender.name);
        let cpu = process::cpu_seconds(&contender.processes) - cpu;
        took.sort_unstable();
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 cycles")]
        let (count, at) = (cycles as f64, |share: usize| took[(cycles * share / 100).min(cycles - 1)]);
        Run { cycles, per_second: count / seconds, p50: at(50), p99: at(99), cpu_seconds: cpu / count * 1000.0 }
    }
}

async fn work(contender: Arc<Contender>, worker: usize, next: Arc<AtomicUsize>, over: Arc<AtomicBool>) -> Vec<u32> {
    let mut first = contender.first_at[worker % contender.first_at.len()].connect().await;
    let mut other = contender.then_at[worker % contender.then_at.len()].connect().await;
    let mut took = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let Some(request) = (contender.first)(next.fetch_add(1, Ordering::Relaxed)) else {
            over.store(true, Ordering::Relaxed);
            break;
        };
        let started = Instant::now();
        let mut answer = succeed(&contender, &mut first, &request).await;
        for next in &contender.then {
            let request = next(&answer);
            let request = request.unwrap_or_else(|| panic!("{}: {}", contender.name, String::from_utf8_lossy(&answer)));
            answer = succeed(&contender, &mut other, &request).await;
        }
        took.push(u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
    took
}

async fn succeed(contender: &Contender, connection: &mut Connection, request: &[u8]) -> Vec<u8> {
    let reply = connection.exchange(request).await.unwrap_or_else(|error| panic!("{}: {error}", contender.name));
    let told = String::from_utf8_lossy(reply.body);
    assert!(matches!(reply.status, 200 | 201), "{}: {} {told}", contender.name, reply.status);
    reply.body.to_vec()
}
