//! The figures of the manual, under the names that dashboards rely on.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::api::types::{Disk, Peer, Space};

/// What is counted while a space is at work; everything else is asked for when it is read.
#[derive(Debug)]
pub struct SpaceMetrics {
    /// Commits made here.
    pub commits: Counter,
    /// From a request to its durable answer.
    pub commit_seconds: Histogram,
    /// One flush of the log.
    pub fsync_seconds: Histogram,
    /// From a write to the Handle that covers it.
    pub converge_seconds: Histogram,
    /// Handles whose roots were not those of the same commits here.
    pub divergence: Counter,
    /// Times that damage at rest was found.
    pub damaged: Counter,
    /// Times that all of it was healed.
    pub healed: Counter,
    /// What came of conflicts here, by the policy of their collection.
    settled: Mutex<BTreeMap<(String, &'static str), u64>>,
    /// Conflicts that nobody has settled, as of the last count.
    pub conflicts_open: Gauge,
}

impl SpaceMetrics {
    /// A conflict ended here, or stays where something was to settle it. `policy` is that of its collection, or `none` where it is not about one key; `outcome`
    /// is `picked`, `edited`, `merged`, `rewritten`, `discarded`, or `expired` where losers were kept as long as was asked; and
    /// where a resolver was asked and it stays open `resolver-left`, `resolver-failed`, `resolver-panicked` or
    /// `resolver-late`.
    pub fn settled(&self, policy: &str, outcome: &'static str) {
        let mut settled = self.settled.lock().expect("counting cannot panic");
        *settled.entry((policy.to_string(), outcome)).or_default() += 1;
    }

    /// How often each outcome was.
    pub fn outcomes(&self) -> BTreeMap<(String, &'static str), u64> {
        self.settled.lock().expect("counting cannot panic").clone()
    }
}

impl Default for SpaceMetrics {
    fn default() -> SpaceMetrics {
        // 50 us, a fast disk's flush, to 1.6 s, a phone's flash in its worst minute.
        let flush = || Histogram::new(exponential_buckets(0.000_05, 2.0, 16));
        SpaceMetrics {
            commits: Counter::default(),
            commit_seconds: flush(),
            fsync_seconds: flush(),
            // 10 ms to 45 days: the unit of a vehicle in a garage.
            converge_seconds: Histogram::new(exponential_buckets(0.01, 4.0, 15)),
            divergence: Counter::default(),
            damaged: Counter::default(),
            healed: Counter::default(),
            settled: Mutex::default(),
            conflicts_open: Gauge::default(),
        }
    }
}

/// Everything that one reading of `/metrics` shows.
#[derive(Debug, Default)]
pub struct Scrape {
    /// Each space, as `status` shows it, with what it counted.
    pub spaces: Vec<(Space, Arc<SpaceMetrics>)>,
    /// Each peer in each space.
    pub peers: Vec<Peer>,
    /// The disk under DATA.
    pub disk: Disk,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SpaceLabel {
    space: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConflictLabel {
    space: String,
    policy: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PeerLabel {
    space: String,
    peer: String,
}

impl Scrape {
    /// The text of the exposition.
    pub fn text(self) -> Result<String, fmt::Error> {
        let mut registry = Registry::with_prefix("strandline");
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        Ok(text)
    }

    fn encode_spaces(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for (name, help, figure) in SPACE_GAUGES {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (space, _) in &self.spaces {
                let label = SpaceLabel { space: space.name.clone() };
                ConstGauge::new(figure(space)).encode(metric.encode_family(&label)?)?;
            }
        }
        for (name, help, counter) in SPACE_COUNTERS {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (space, metrics) in &self.spaces {
                let label = SpaceLabel { space: space.name.clone() };
                counter(metrics).encode(metric.encode_family(&label)?)?;
            }
        }
        for (name, help, histogram) in SPACE_HISTOGRAMS {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
            for (space, metrics) in &self.spaces {
                let label = SpaceLabel { space: space.name.clone() };
                histogram(metrics).encode(metric.encode_family(&label)?)?;
            }
        }
        Ok(())
    }

    fn encode_conflicts(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Conflicts that nobody has settled";
        let mut open = encoder.encode_descriptor("conflicts_open", help, None, MetricType::Gauge)?;
        for (space, metrics) in &self.spaces {
            let label = SpaceLabel { space: space.name.clone() };
            ConstGauge::new(metrics.conflicts_open.get()).encode(open.encode_family(&label)?)?;
        }
        let help = "Conflicts by what came of them on this device";
        let mut settled = encoder.encode_descriptor("conflicts", help, None, MetricType::Counter)?;
        for (space, metrics) in &self.spaces {
            for ((policy, outcome), count) in &*metrics.settled.lock().expect("counting cannot panic") {
                let label = ConflictLabel { space: space.name.clone(), policy: policy.clone(), outcome };
                ConstCounter::new(*count).encode(settled.encode_family(&label)?)?;
            }
        }
        Ok(())
    }

    fn encode_peers(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for (name, help, figure) in PEER_GAUGES {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for peer in &self.peers {
                ConstGauge::new(figure(peer)).encode(metric.encode_family(&label(peer))?)?;
            }
        }
        for (name, help, figure) in PEER_COUNTERS {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for peer in &self.peers {
                let counter: Counter<u64, AtomicU64> = Counter::default();
                counter.inc_by(figure(peer));
                counter.encode(metric.encode_family(&label(peer))?)?;
            }
        }
        Ok(())
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_spaces(&mut encoder)?;
        self.encode_conflicts(&mut encoder)?;
        self.encode_peers(&mut encoder)?;
        let disk = [
            ("disk_bytes", "Bytes in the data directory", self.disk.used_bytes),
            ("disk_free_bytes", "Bytes left on its file system", self.disk.free_bytes),
        ];
        for (name, help, bytes) in disk {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(gauge(bytes)).encode(metric)?;
        }
        Ok(())
    }
}

type SpaceFigure = (&'static str, &'static str, fn(&Space) -> i64);
type SpaceCount = (&'static str, &'static str, fn(&SpaceMetrics) -> &Counter);
type SpaceTimes = (&'static str, &'static str, fn(&SpaceMetrics) -> &Histogram);
type PeerFigure = (&'static str, &'static str, fn(&Peer) -> f64);
type PeerCount = (&'static str, &'static str, fn(&Peer) -> u64);

const SPACE_GAUGES: [SpaceFigure; 5] = [
    ("wal_bytes", "Bytes of the log on disk", |space| gauge(space.wal_bytes)),
    ("outbox_commits", "Commits no Handle covers", |space| gauge(space.tail_commits)),
    ("outbox_bytes", "Their bytes", |space| gauge(space.tail_bytes)),
    ("outbox_oldest_seconds", "Age of the oldest of them", |space| gauge(space.oldest_seconds.unwrap_or(0))),
    ("handle_version", "Version of the adopted Handle", |space| gauge(space.version)),
];

const SPACE_COUNTERS: [SpaceCount; 4] = [
    ("commits", "Commits made on this device", |metrics| &metrics.commits),
    ("damaged", "Times that damage at rest was found", |metrics| &metrics.damaged),
    ("healed", "Times that all of it was healed", |metrics| &metrics.healed),
    ("divergence", "Handles that the same commits do not give here", |metrics| &metrics.divergence),
];

const SPACE_HISTOGRAMS: [SpaceTimes; 3] = [
    ("commit_seconds", "From a request to its durable answer", |metrics| &metrics.commit_seconds),
    ("wal_fsync_seconds", "One flush of the log", |metrics| &metrics.fsync_seconds),
    ("converge_seconds", "From a write to the Handle that covers it", |metrics| &metrics.converge_seconds),
];

const PEER_GAUGES: [PeerFigure; 4] = [
    ("peer_state", "1 connected, 0 not, -1 paused", |peer| match peer.state.as_str() {
        "connected" => 1.0,
        "paused" => -1.0,
        _ => 0.0,
    }),
    ("peer_acked_seq", "Sum over writers of what it has on its disk", |peer| peer.acked as f64),
    ("peer_lag_commits", "Commits here that it is not known to have", |peer| peer.lag_commits as f64),
    ("peer_rtt_seconds", "Round trip", |peer| peer.rtt_micros.unwrap_or(0) as f64 / 1e6),
];

const PEER_COUNTERS: [PeerCount; 4] = [
    ("peer_attempts", "Attempts to connect", |peer| peer.attempts_total),
    ("peer_retries", "Attempts that came after a failure", |peer| peer.retries),
    ("sent_bytes", "Bytes to the peer", |peer| peer.sent_bytes),
    ("received_bytes", "Bytes from the peer", |peer| peer.received_bytes),
];

fn label(peer: &Peer) -> PeerLabel {
    let name = if peer.id.is_empty() { &peer.address } else { &peer.id };
    PeerLabel { space: peer.space.clone(), peer: name.clone() }
}

fn gauge(figure: u64) -> i64 {
    i64::try_from(figure).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_the_manual_are_there() {
        let space = Space { name: "s".into(), ..Space::default() };
        let peer = Peer { id: "d".into(), space: "s".into(), ..Peer::default() };
        let metrics: Arc<SpaceMetrics> = Arc::default();
        metrics.settled("lww", "picked");
        let scrape = Scrape { spaces: vec![(space, metrics)], peers: vec![peer], disk: Disk::default() };
        let text = scrape.text().unwrap();
        for name in [
            "commits_total{space=\"s\"}",
            "commit_seconds_bucket{le=",
            "wal_bytes{",
            "wal_fsync_seconds_count{",
            "outbox_commits{",
            "outbox_bytes{",
            "outbox_oldest_seconds{",
            "peer_state{space=\"s\",peer=\"d\"}",
            "peer_acked_seq{",
            "peer_lag_commits{",
            "peer_attempts_total{",
            "peer_retries_total{",
            "peer_rtt_seconds{",
            "sent_bytes_total{",
            "received_bytes_total{",
            "converge_seconds_sum{",
            "handle_version{",
            "divergence_total{",
            "conflicts_open{space=\"s\"}",
            "conflicts_total{space=\"s\",policy=\"lww\",outcome=\"picked\"}",
            "disk_bytes ",
            "disk_free_bytes ",
        ] {
            assert!(text.contains(&format!("strandline_{name}")), "{name} is not in\n{text}");
        }
    }
}
