//! What the operating system says of processes: time spent and memory held.

use std::fs;

/// Ticks of `/proc/PID/stat` in a second: 100 on every Linux that Debian ships.
const TICKS: f64 = 100.0;

/// The seconds that processes have spent, in their own code and in the kernel.
pub fn cpu_seconds(processes: &[u32]) -> f64 {
    processes.iter().map(|id| ticks(*id)).sum::<f64>() / TICKS
}

fn ticks(id: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    // The name, in parentheses, may hold blanks.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11..=12].iter().map(|field| field.parse::<f64>().unwrap()).sum()
}

/// The most memory that a process has ever held, of several the largest; in MiB.
pub fn peak_resident(processes: &[u32]) -> f64 {
    let peak = |id: &u32| kilobytes(*id, "VmHWM:") / 1024.0;
    processes.iter().map(peak).fold(0.0, f64::max)
}

/// The memory that processes hold now, together; in MiB.
pub fn resident(processes: &[u32]) -> f64 {
    processes.iter().map(|id| kilobytes(*id, "VmRSS:") / 1024.0).sum()
}

/// The descriptors that processes have open, together.
pub fn descriptors(processes: &[u32]) -> usize {
    processes.iter().map(|id| fs::read_dir(format!("/proc/{id}/fd")).unwrap().count()).sum()
}

fn kilobytes(id: u32, name: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
    line.trim_end_matches(" kB").parse().unwrap()
}
