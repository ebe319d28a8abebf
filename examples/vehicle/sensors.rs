//! What this machine's `/proc` says; a sensor that is not there is left out.

/// Every sensor with its value now.
pub(crate) fn read() -> Vec<(&'static str, String)> {
    [("load", load()), ("memory", available_memory()), ("uptime", uptime())]
        .into_iter()
        .filter_map(|(sensor, value)| Some((sensor, value?)))
        .collect()
}

/// Processes that want to run, over the last minute.
fn load() -> Option<String> {
    first_word("/proc/loadavg")
}

/// Seconds since the machine started.
fn uptime() -> Option<String> {
    first_word("/proc/uptime")
}

/// KiB that programs could have.
fn available_memory() -> Option<String> {
    // A machine without this file has no such sensor.
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next().map(str::to_string)
}

fn first_word(path: &str) -> Option<String> {
    // A machine without this file has no such sensor.
    std::fs::read_to_string(path).ok()?.split_whitespace().next().map(str::to_string)
}
