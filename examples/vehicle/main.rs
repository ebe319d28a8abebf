//! A vehicle that owns its data: it writes its machine's metrics, link or no link.
//!
//! `cargo run -p examples --bin vehicle -- DATA [SECONDS]` writes for so long (10 s by default) and says what it wrote.
//! Every reading is on the disk before the next one is taken: end it however you like, nothing acknowledged is lost.
//! Then serve the folder, and what was written leaves as soon as its home is in reach:
//! `strandline --data DATA serve`.

mod sensors;

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;

/// Ten readings a second of each sensor, as a vehicle bus gives them.
const READ_EVERY: Duration = Duration::from_millis(100);

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let data = PathBuf::from(arguments.next().context("usage: vehicle DATA [SECONDS]")?);
    let seconds = arguments.next().map_or(Ok(10), |text| text.parse()).context("SECONDS is a number")?;
    drive(&data, Duration::from_secs(seconds))
}

fn drive(data: &std::path::Path, length: Duration) -> anyhow::Result<()> {
    let replica =
        strandline::Replica::open(data).with_context(|| format!("cannot open {}", data.display()))?;
    let space = replica.space("vehicle")?;
    let metrics = space.collection("metrics")?;
    println!("{} holds {} readings", data.display(), metrics.scan("")?.len());

    let started = Instant::now();
    let (mut readings, mut commits) = (0, 0);
    while started.elapsed() < length {
        // All sensors of one moment land together: a reader never sees half a moment.
        let mut moment = space.begin()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        for (sensor, value) in sensors::read() {
            moment.put(&metrics, &format!("{sensor}/{now:015}"), value)?;
            readings += 1;
        }
        moment.commit()?;
        commits += 1;
        std::thread::sleep(READ_EVERY);
    }
    println!("wrote {readings} readings in {commits} commits, each durable before the next");
    for sensor in ["load", "memory", "uptime"] {
        if let Some((key, value)) = metrics.scan(&format!("{sensor}/"))?.pop() {
            println!("{key} = {}", String::from_utf8_lossy(&value));
        }
    }
    Ok(())
}
