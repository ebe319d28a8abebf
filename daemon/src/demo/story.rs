//! The story the demo tells, one step after another.

use std::time::{Duration, Instant};

use strandline::api::types::{
    Collection, CreateCollection, CreateSpace, Invite, Invited, Join, Space, Value,
};

use super::DemoArguments;
use super::checks::{agree, check, delete, export, get, link, peers, put, space};
use super::metrics::sample;
use super::stage::Stage;
use crate::cli::failure::{EXIT_UNAVAILABLE, Failure};
use crate::cli::output::{count, short, size};
use crate::cli::target::Target;
use crate::client::Client;

/// How long the metrics flow when nobody says: enough to see them, short enough to stay.
const FLOW: Duration = Duration::from_secs(3);

/// How often the sensors are read.
const SAMPLE_EVERY: Duration = Duration::from_millis(100);

/// How often the power is cut.
const KILLS: u32 = 3;

/// Writes acknowledged before each cut.
const ACKNOWLEDGED_BEFORE_KILL: usize = 150;

pub(crate) async fn tell(stage: &mut Stage, arguments: &DemoArguments) -> Result<(), Failure> {
    meet(stage).await?;
    flow(stage, arguments).await?;
    cut(stage, arguments).await?;
    let acknowledged = power_cuts(stage).await?;
    apart(stage).await?;
    meet_again(stage, &acknowledged).await?;
    verify(stage).await
}

fn metrics() -> Target {
    Target { space: "telemetry".to_string(), collection: "metrics".to_string() }
}

fn settings() -> Target {
    Target { space: "telemetry".to_string(), collection: "settings".to_string() }
}

async fn meet(stage: &mut Stage) -> Result<(), Failure> {
    let mut home = stage.home.client().await?;
    let mut device = stage.device.client().await?;
    let made: Space = home.post("/v1/spaces", &CreateSpace { name: "telemetry".to_string() }).await?;
    for name in ["metrics", "settings"] {
        let wish = CreateCollection {
            name: name.to_string(),
            policy: "lww".to_string(),
            siblings: None,
            deletes: None,
        };
        let _: Collection = home.post("/v1/spaces/telemetry/collections", &wish).await?;
    }
    put(&mut home, &settings(), "limit", "80").await?;
    put(&mut home, &settings(), "obsolete", "delete me").await?;
    let invite = Invite { role: "writer".to_string(), uses: 1, expires: "10m".to_string() };
    let invited: Invited = home.post("/v1/spaces/telemetry/invite", &invite).await?;
    let join = Join {
        ticket: invited.ticket,
        name: Some("telemetry".to_string()),
        timeout: Some("20s".to_string()),
        offline: false,
    };
    let joined: Space = device.post("/v1/join", &join).await?;
    check(joined.id == made.id, || "the device joined the space that the home made".to_string())?;
    let again: Result<Space, Failure> = device.post("/v1/join", &join).await;
    check(again.is_err(), || "a ticket is refused the second time".to_string())?;
    let space = agree(&mut home, &mut device).await?;
    let seen = [
        format!("home    {} on {}", short(stage.home.ready("device")), stage.home.ready("listen")),
        format!("device  {} on {}", short(stage.device.ready("device")), stage.device.ready("listen")),
        format!("space   {} version {} root {}", short(&space.id), space.version, short(&space.data_root)),
    ];
    let proves =
        "two devices that know nothing but a ticket end with the same root; a spent ticket opens nothing";
    stage.step("A home makes a space, a device joins it with a ticket", &seen, proves)
}

async fn flow(stage: &mut Stage, arguments: &DemoArguments) -> Result<(), Failure> {
    let mut home = stage.home.client().await?;
    let mut device = stage.device.client().await?;
    let length = arguments.minutes.map_or(FLOW, |minutes| Duration::from_secs(u64::from(minutes) * 60));
    let started = Instant::now();
    let mut rows = 0;
    let mut number = 0;
    while started.elapsed() < length {
        number += 1;
        for sample in sample(number) {
            put(&mut device, &metrics(), &sample.key, &sample.value).await?;
            rows += 1;
        }
        tokio::time::sleep(SAMPLE_EVERY).await;
    }
    let space = agree(&mut home, &mut device).await?;
    let arrived = export(&mut home, &metrics()).await?;
    check(arrived.len() as u64 == rows, || format!("{rows} metrics arrived, not {}", arrived.len()))?;
    let seen = [
        format!(
            "{} readings of this machine from /proc, each on the device's disk before the next",
            count(rows)
        ),
        format!("version {} root {} on both", space.version, short(&space.data_root)),
    ];
    stage.step("Live metrics flow", &seen, "what is written here is there, and one hash shows it")
}

async fn cut(stage: &mut Stage, arguments: &DemoArguments) -> Result<(), Failure> {
    let mut home = stage.home.client().await?;
    let mut device = stage.device.client().await?;
    let before = export(&mut home, &metrics()).await?.len();
    link(&mut device, "pause").await?;
    let mut rows = 0;
    for number in 0..20 {
        for sample in sample(number) {
            put(&mut device, &metrics(), &sample.key, &sample.value).await?;
            rows += 1;
        }
    }
    let mut seen = vec![format!("{rows} more readings written with the link cut")];
    if let Some(path) = &arguments.csv {
        let imported = crate::cli::import::load(&mut device, &metrics(), path).await?;
        seen.push(format!("{} rows of {} imported", count(imported), path.display()));
    }
    let after = export(&mut home, &metrics()).await?.len();
    check(before == after, || "nothing reaches the home through a cut link".to_string())?;
    let waiting = space(&mut device).await?;
    check(waiting.tail_commits >= rows, || format!("{rows} commits wait in the outbox"))?;
    let state = peers(&mut device).await?.first().map(|peer| peer.state.clone()).unwrap_or_default();
    seen.push(format!(
        "outbox: {} commits, {}; the peer is {state}",
        count(waiting.tail_commits),
        size(waiting.tail_bytes)
    ));
    stage.step("The link is cut", &seen, "writing needs no network; what waits is counted, not guessed")
}

/// Kills the device while it writes, again and again; every key whose write was acknowledged.
async fn power_cuts(stage: &mut Stage) -> Result<Vec<String>, Failure> {
    let mut acknowledged = Vec::new();
    let mut pids = Vec::new();
    for cut in 0..KILLS {
        let writer = stage.device.client().await?;
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        let writing = tokio::spawn(write_until_it_breaks(writer, cut, sender));
        for _ in 0..ACKNOWLEDGED_BEFORE_KILL {
            acknowledged.extend(receiver.recv().await);
        }
        pids.push(stage.device.id().to_string());
        stage.device.kill()?;
        while let Some(key) = receiver.recv().await {
            acknowledged.push(key);
        }
        let ended = writing
            .await
            .map_err(|error| Failure::failed("demo", format!("the writer panicked: {error}")))?;
        check(ended.exit == EXIT_UNAVAILABLE, || {
            format!("the writer was stopped by the kill, not by: {ended}")
        })?;
        stage.restart_device()?;
        let mut device = stage.device.client().await?;
        for key in &acknowledged {
            let is_there = get(&mut device, &metrics(), key).await?.is_some();
            check(is_there, || format!("{key} was acknowledged and is there after kill -9"))?;
        }
    }
    let known = peers(&mut stage.device.client().await?).await?;
    check(known.iter().all(|peer| peer.state == "paused"), || {
        "a cut link stays cut over a restart".to_string()
    })?;
    let seen = [
        format!("kill -9 of processes {} in the middle of writing", pids.join(", ")),
        format!("{} writes were acknowledged, {} are there", acknowledged.len(), acknowledged.len()),
        "the link is still cut after the restarts: what people decided survives, too".to_string(),
    ];
    stage.step("The power is cut", &seen, "acknowledged means on the disk; recovery loses nothing of it")?;
    Ok(acknowledged)
}

/// Writes as fast as acknowledgements come, and reports each one.
async fn write_until_it_breaks(
    mut device: Client,
    cut: u32,
    acknowledged: tokio::sync::mpsc::UnboundedSender<String>,
) -> Failure {
    for number in 0_u64.. {
        let key = format!("burst/{cut}-{number:06}");
        if let Err(failure) = put(&mut device, &metrics(), &key, "{\"burst\":1}").await {
            return failure;
        }
        if acknowledged.send(key).is_err() {
            break;
        }
    }
    Failure::failed("demo", "nobody listens to the writer any more")
}

async fn apart(stage: &mut Stage) -> Result<(), Failure> {
    let mut home = stage.home.client().await?;
    let mut device = stage.device.client().await?;
    put(&mut home, &settings(), "limit", "90, says the home").await?;
    put(&mut device, &settings(), "limit", "70, says the device").await?;
    delete(&mut device, &settings(), "obsolete").await?;
    let (ours, theirs) =
        (get(&mut home, &settings(), "limit").await?, get(&mut device, &settings(), "limit").await?);
    let values = [ours, theirs].map(|entry| entry.and_then(|entry| entry.value));
    check(values[0] != values[1], || "the two differ while they are apart".to_string())?;
    let seen = [
        format!("settings/limit: the home reads {}, the device {}", shown(&values[0]), shown(&values[1])),
        "settings/obsolete: deleted on the device, still there at the home".to_string(),
    ];
    stage.step("Both change the same key, apart", &seen, "nobody has to ask before writing")
}

async fn meet_again(stage: &mut Stage, acknowledged: &[String]) -> Result<(), Failure> {
    let mut home = stage.home.client().await?;
    let mut device = stage.device.client().await?;
    let waiting = space(&mut device).await?.tail_commits;
    link(&mut device, "resume").await?;
    let started = Instant::now();
    let space = agree(&mut home, &mut device).await?;
    let seconds = started.elapsed().as_secs_f64();
    let (ours, theirs) = (export(&mut home, &metrics()).await?, export(&mut device, &metrics()).await?);
    check(ours == theirs, || "both export the same bytes".to_string())?;
    for key in acknowledged {
        let is_there = get(&mut home, &metrics(), key).await?.is_some();
        check(is_there, || format!("{key} was acknowledged on the device and is at the home"))?;
    }
    let seen = [
        format!("{} commits drained in {seconds:.1} s", count(waiting)),
        format!("version {}", space.version),
        format!("data root    {}", space.data_root),
        format!("vector root  {}", space.vv_root),
        format!("{} metrics, exported byte for byte the same", count(ours.len() as u64)),
    ];
    stage.step(
        "The link is back",
        &seen,
        "equal roots: both hold exactly the same, and nothing waits any more",
    )?;
    conflict(stage, &mut home, &mut device).await
}

async fn conflict(stage: &mut Stage, home: &mut Client, device: &mut Client) -> Result<(), Failure> {
    let limit = "settings/limit has a winner on both".to_string();
    let (Some(ours), Some(theirs)) =
        (get(home, &settings(), "limit").await?, get(device, &settings(), "limit").await?)
    else {
        return check(false, || limit);
    };
    check(ours == theirs, || "both show the same winner and the same losers".to_string())?;
    check(ours.all.len() == 2, || format!("one write won and one lost, not {}", ours.all.len()))?;
    for client in [home, device] {
        let deleted = get(client, &settings(), "obsolete").await?;
        check(deleted.is_none(), || "a deleted key stays deleted".to_string())?;
    }
    let lost = ours.all.get(1).map(|sibling| sibling.value.clone());
    let seen = [
        format!("settings/limit: {} wins on both", shown(&ours.value)),
        format!("settings/limit: {} lost on both, and is kept for somebody to look at", shown(&lost)),
        "settings/obsolete: deleted on both".to_string(),
    ];
    stage.step(
        "The conflict",
        &seen,
        "one rule, one winner, no loss without a trace, no delete that comes back",
    )
}

async fn verify(stage: &mut Stage) -> Result<(), Failure> {
    let mut seen = Vec::new();
    for daemon in [&stage.home, &stage.device] {
        let mut client = daemon.client().await?;
        let report: strandline::api::types::Verified = client
            .json(hyper::Method::POST, "/v1/spaces/telemetry/verify", crate::client::Body::Empty)
            .await?;
        check(report.ok, || format!("everything on disk is sound: {}", report.problems.join("; ")))?;
        seen.push(format!(
            "{}: {} nodes, {} entries, {} commits hashed again: sound",
            daemon.data().file_name().unwrap_or_default().to_string_lossy(),
            count(report.nodes),
            count(report.entries),
            count(report.commits)
        ));
    }
    stage.step(
        "Everything is hashed again",
        &seen,
        "the roots are what is on the disks, not what was remembered",
    )
}

fn shown(value: &Option<Value>) -> String {
    value
        .as_ref()
        .map_or_else(|| "nothing".to_string(), |value| format!("\"{}\"", crate::cli::get::value_text(value)))
}
