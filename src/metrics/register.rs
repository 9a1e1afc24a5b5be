//! Creation of metric families with the common prefix and buckets, and their registration.

use prometheus::core::Collector;
use prometheus::{
    Error, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

/// Buckets in seconds for in-process work.
pub const FAST_BUCKETS: [f64; 10] = [1e-6, 5e-6, 1e-5, 5e-5, 1e-4, 5e-4, 1e-3, 5e-3, 0.025, 0.1];
/// Buckets in seconds for work that waits for a disk or another process, up to the request timeout.
pub const SLOW_BUCKETS: [f64; 13] = [5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 15.0];

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("claviger")
}

fn register<F: Collector + Clone + 'static>(registry: &Registry, family: F) -> Result<F, Error> {
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}

pub fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, Error> {
    register(registry, IntCounterVec::new(opts(name, help), labels)?)
}

pub fn counter(registry: &Registry, name: &str, help: &str) -> Result<IntCounter, Error> {
    register(registry, IntCounter::with_opts(opts(name, help))?)
}

pub fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, Error> {
    register(registry, IntGaugeVec::new(opts(name, help), labels)?)
}

pub fn gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge, Error> {
    register(registry, IntGauge::with_opts(opts(name, help))?)
}

pub fn float_gauge(registry: &Registry, name: &str, help: &str) -> Result<Gauge, Error> {
    register(registry, Gauge::with_opts(opts(name, help))?)
}

pub fn histogram(registry: &Registry, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram, Error> {
    register(registry, Histogram::with_opts(HistogramOpts::from(opts(name, help)).buckets(buckets.to_vec()))?)
}

pub fn histograms(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<HistogramVec, Error> {
    register(registry, HistogramVec::new(HistogramOpts::from(opts(name, help)).buckets(SLOW_BUCKETS.to_vec()), labels)?)
}
