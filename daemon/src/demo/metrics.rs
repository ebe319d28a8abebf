//! This machine as a sensor: what `/proc` says right now.

use std::time::{SystemTime, UNIX_EPOCH};

/// One reading of one sensor.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// `load.1m/00001763999999000123`: sensors apart, moments in order.
    pub(crate) key: String,
    pub(crate) value: String,
}

/// Reads every sensor once; where there is no `/proc`, one that only counts.
pub(crate) fn sample(number: u64) -> Vec<Sample> {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let mut samples = Vec::new();
    let mut add = |sensor: &str, value: &str| {
        let key = format!("{sensor}/{millis:015}-{number:06}");
        samples.push(Sample { key, value: format!("{{\"{sensor}\":{value}}}") });
    };
    add("demo.sample", &number.to_string());
    if let Some(load) = file("loadavg").split_whitespace().next() {
        add("load.1m", load);
    }
    if let Some(uptime) = file("uptime").split_whitespace().next() {
        add("uptime.s", uptime);
    }
    let meminfo = file("meminfo");
    for (field, sensor) in [("MemAvailable:", "memory.available_kib"), ("Dirty:", "memory.dirty_kib")] {
        if let Some(value) = meminfo.lines().find_map(|line| line.strip_prefix(field)) {
            add(sensor, value.trim().trim_end_matches(" kB"));
        }
    }
    let stat = file("stat");
    for field in ["ctxt", "processes", "procs_running"] {
        if let Some(value) = stat.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(' ')) {
            add(&format!("cpu.{field}"), value.trim());
        }
    }
    samples
}

/// A file that is not there is a sensor this machine does not have.
fn file(name: &str) -> String {
    std::fs::read_to_string(format!("/proc/{name}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_json_and_every_key_its_own() {
        let samples = sample(7);
        let keys: std::collections::BTreeSet<&str> =
            samples.iter().map(|sample| sample.key.as_str()).collect();
        assert_eq!(keys.len(), samples.len());
        for sample in &samples {
            assert!(serde_json::from_str::<serde_json::Value>(&sample.value).is_ok(), "{}", sample.value);
        }
    }
}
