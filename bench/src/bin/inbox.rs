//! What a resolver costs where many conflicts are open: seconds and memory, of one that leaves them all and one that settles them.
//!
//! `cargo run --release --manifest-path bench/Cargo.toml --bin inbox -- [CONFLICTS]`: each has two sides beside a
//! value that is gone, all of it in the log, where ancestors are looked for.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use strandline::conflicts::Settle;
use strandline::verbs::Verb;
use strandline::{Collection, Context, Replica, Space};

/// How many are settled by their ids.
const BY_ID: usize = 1_000;

fn main() -> Result<()> {
    let count: u64 = std::env::args().nth(1).map_or(Ok(10_000), |count| count.parse())?;
    let folder = std::env::temp_dir().join(format!("strandline-inbox-{}", std::process::id()));
    let replica = Replica::open(&folder)?;
    let space = replica.space("mine")?;
    let modes = space.collection_of("modes", crdt::Policy::Mv)?;
    disagree(&space, &modes, count)?;
    report("written", Instant::now())?;

    let begun = Instant::now();
    let listed = space.conflicts(usize::MAX)?.len();
    report(&format!("{listed} listed"), begun)?;

    let mut ids: Vec<String> = space.conflicts(usize::MAX)?.into_iter().map(|open| open.id).collect();
    let by_id = ids.split_off(ids.len() - ids.len().min(BY_ID));
    let begun = Instant::now();
    for id in &by_id {
        space.settle(id, &Settle::Discard)?;
    }
    report(&format!("{} settled by their ids", by_id.len()), begun)?;
    let open = count - by_id.len() as u64;

    let begun = Instant::now();
    let resolver = modes.resolve_with(|_| Ok(None))?;
    until(&space, "resolver-left", open)?;
    report(&format!("{open} left by a resolver"), begun)?;
    drop(resolver);

    let begun = Instant::now();
    let resolver = modes.resolve_with(|_| Ok(Some(Settle::Discard)))?;
    until(&space, "discarded", count)?;
    report(&format!("{open} settled by a resolver"), begun)?;
    drop(resolver);
    drop(replica);
    Ok(std::fs::remove_dir_all(&folder)?)
}

/// Two values at each key whose writers had seen a third.
fn disagree(space: &Space, modes: &Collection, count: u64) -> Result<()> {
    let keys: Vec<String> = (0..count).map(|number| format!("key-{number}")).collect();
    let write = |value: &str, seen: &[Context]| -> Result<()> {
        let mut transaction = space.begin()?;
        for (key, seen) in keys.iter().zip(seen) {
            transaction.carry_out(modes, key, &Verb::PutSeen(value.into(), seen.clone()))?;
        }
        transaction.commit()?;
        Ok(())
    };
    write("off", &vec![Context::default(); keys.len()])?;
    let seen: Result<Vec<Context>> =
        keys.iter().map(|key| Ok(modes.read(key)?.context("it was written")?.1)).collect();
    let seen = seen?;
    write("eco", &seen)?;
    write("sport", &seen)
}

fn until(space: &Space, outcome: &'static str, count: u64) -> Result<()> {
    loop {
        let outcomes = space.conflict_outcomes();
        if outcomes.keys().any(|(_, other)| *other == "resolver-failed") {
            bail!("{outcomes:?}");
        }
        if outcomes.get(&("mv".to_string(), outcome)) == Some(&count) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn report(what: &str, begun: Instant) -> Result<()> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default().trim();
    println!("{what:<45} {:>8.2} s  peak {peak}", begun.elapsed().as_secs_f64());
    Ok(())
}
