//! CPU time and memory of processes, from the operating system.

use std::fs;

/// Ticks per second in `/proc/PID/stat`: 100 on every Linux that Debian ships.
const TICKS: f64 = 100.0;

/// CPU seconds of processes, in user and kernel mode.
pub fn cpu_seconds(processes: &[u32]) -> f64 {
    processes.iter().map(|id| ticks(*id)).sum::<f64>() / TICKS
}

fn ticks(id: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    // The name, in parentheses, may contain blanks.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11..=12].iter().map(|field| field.parse::<f64>().unwrap()).sum()
}

/// Peak resident memory of a process; of several the maximum, in MiB.
pub fn peak_resident(processes: &[u32]) -> f64 {
    let peak = |id: &u32| kilobytes(*id, "VmHWM:") / 1024.0;
    processes.iter().map(peak).fold(0.0, f64::max)
}

/// Resident memory of all processes, in MiB.
pub fn resident(processes: &[u32]) -> f64 {
    processes.iter().map(|id| kilobytes(*id, "VmRSS:") / 1024.0).sum()
}

/// Open descriptors of all processes.
pub fn descriptors(processes: &[u32]) -> usize {
    processes.iter().map(|id| fs::read_dir(format!("/proc/{id}/fd")).unwrap().count()).sum()
}

fn kilobytes(id: u32, name: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
    line.trim_end_matches(" kB").parse().unwrap()
}
