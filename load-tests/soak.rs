//! A soak test: load for minutes or hours, while memory and descriptors must not grow.

use crate::contenders::{Field, MEMORY, POSTGRES};
use crate::load::Load;
use crate::process;
use std::time::{Duration, Instant};

/// Duration of load between two samples.
const GLANCE: Duration = Duration::from_secs(5);
/// Share of the time until caches and pools are full. A ticket in memory is remembered for five minutes after its
/// expiry, so in a shorter soak memory grows; the output states the number of tickets.
const WARM: f64 = 0.4;
/// Allowed growth in the second half, as a share.
const GROWTH: f64 = 0.1;

/// One sample.
struct Look {
    resident: f64,
    descriptors: usize,
}

/// Loads two ticket stores in turn for this many minutes.
///
/// # Panics
/// If the memory or the descriptors of a replica have grown.
pub async fn soak(field: &Field, minutes: u64, load: Load) {
    let load = Load { lasts: GLANCE, ..load };
    let until = Instant::now() + Duration::from_secs(minutes * 60);
    let chosen: Vec<_> = field.contenders.iter().filter(|one| [MEMORY, POSTGRES].contains(&one.name)).collect();
    let mut looks: Vec<Vec<Look>> = chosen.iter().map(|_| Vec::new()).collect();
    let mut cycles = 0;
    while Instant::now() < until {
        for (contender, looks) in chosen.iter().zip(&mut looks) {
            cycles += load.on(contender).await.cycles;
            let resident = process::resident(&contender.processes);
            let descriptors = process::descriptors(&contender.processes);
            println!("{}: {resident:.0} MiB, {descriptors} descriptors, {cycles} cycles", contender.name);
            looks.push(Look { resident, descriptors });
        }
    }
    for (contender, looks) in chosen.iter().zip(&looks) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "few")]
        let warm = &looks[(looks.len() as f64 * WARM) as usize..];
        let (first, last) = warm.split_at(warm.len() / 2);
        let most = |looks: &[Look]| looks.iter().map(|look| look.resident).fold(0.0, f64::max);
        // The minimum: connections of the last load may still be open at a sample.
        let open = |looks: &[Look]| looks.iter().map(|look| look.descriptors).min().unwrap_or(0);
        assert!(!first.is_empty(), "{}: too short a soak", contender.name);
        assert!(most(last) <= most(first) * (1.0 + GROWTH), "{}: memory grows", contender.name);
        assert!(open(last) <= open(first) + 8, "{}: descriptors are not given back", contender.name);
    }
    println!("{cycles} cycles; memory and descriptors stayed what they were");
}
