//! Durable puts a second, side by side in one run: this library, SQLite (WAL, synchronous FULL) and redb.
//!
//! `cargo run --release --manifest-path bench/Cargo.toml --bin commits -- [SECONDS]`: rounds alternate between the
//! three and medians are printed, since machines drift; read the ratios. Each put is 256 bytes under a new key, and is
//! on the disk before the next one of that writer begins.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

const ROUNDS: usize = 5;
const VALUE: [u8; 256] = [7; 256];

/// Something that puts one key durably, from several threads.
trait Store: Send + Sync {
    fn put(&self, key: &str) -> Result<()>;
}

/// The collection, and the replica that it is of: dropping that one closes the folder.
struct Strandline(
    strandline::Collection,
    #[expect(dead_code, reason = "held, not read")] strandline::Replica,
);

impl Store for Strandline {
    fn put(&self, key: &str) -> Result<()> {
        self.0.put(key, &VALUE[..])?;
        Ok(())
    }
}

struct Sqlite(std::sync::Mutex<rusqlite::Connection>);

impl Store for Sqlite {
    fn put(&self, key: &str) -> Result<()> {
        let connection = self.0.lock().expect("no writer panics");
        connection.execute("insert or replace into kv values (?1, ?2)", (key, &VALUE[..]))?;
        Ok(())
    }
}

const TABLE: redb::TableDefinition<&str, &[u8]> = redb::TableDefinition::new("kv");

struct Redb(redb::Database);

impl Store for Redb {
    fn put(&self, key: &str) -> Result<()> {
        let transaction = self.0.begin_write()?;
        transaction.open_table(TABLE)?.insert(key, &VALUE[..])?;
        transaction.commit()?;
        Ok(())
    }
}

fn open(name: &str, folder: &Path) -> Result<Arc<dyn Store>> {
    std::fs::create_dir_all(folder)?;
    Ok(match name {
        "strandline" => {
            let replica = strandline::Replica::open(folder)?;
            Arc::new(Strandline(replica.space("bench")?.collection("kv")?, replica))
        }
        "sqlite" => {
            let connection = rusqlite::Connection::open(folder.join("db"))?;
            connection.execute_batch(
                "pragma journal_mode=wal; pragma synchronous=full; create table kv (k text primary key, v blob);",
            )?;
            Arc::new(Sqlite(connection.into()))
        }
        _ => Arc::new(Redb(redb::Database::create(folder.join("db"))?)),
    })
}

/// Puts a second with so many writers.
fn measure(store: &Arc<dyn Store>, writers: usize, time: Duration, round: usize) -> Result<f64> {
    let stop = Arc::new(AtomicBool::new(false));
    let puts = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let threads: Vec<_> = (0..writers)
        .map(|writer| {
            let (store, stop, puts) = (store.clone(), stop.clone(), puts.clone());
            std::thread::spawn(move || -> Result<()> {
                let mut n = 0;
                while !stop.load(Ordering::Relaxed) {
                    store.put(&format!("{round}/{writer}/{n}"))?;
                    n += 1;
                }
                puts.fetch_add(n, Ordering::Relaxed);
                Ok(())
            })
        })
        .collect();
    std::thread::sleep(time);
    stop.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().expect("a writer does not panic")?;
    }
    Ok(puts.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64())
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn main() -> Result<()> {
    let seconds: f64 = std::env::args().nth(1).map_or(Ok(1.0), |text| text.parse())?;
    let folder: PathBuf = std::env::temp_dir().join(format!("strandline-bench-{}", std::process::id()));
    let names = ["strandline", "sqlite", "redb"];
    let stores: Vec<_> = names.iter().map(|name| open(name, &folder.join(name))).collect::<Result<_>>()?;
    for writers in [1, 8] {
        let mut figures = vec![Vec::new(); names.len()];
        for round in 0..ROUNDS {
            for (store, figures) in stores.iter().zip(&mut figures) {
                figures.push(measure(store, writers, Duration::from_secs_f64(seconds / 2.0), round)?);
            }
        }
        let medians: Vec<f64> = figures.into_iter().map(median).collect();
        println!("{writers} writer(s), durable puts of 256 bytes a second:");
        for (name, figure) in names.iter().zip(&medians) {
            println!("  {name:<11} {figure:>9.0}   strandline is {:.2}x", medians[0] / figure);
        }
    }
    drop(stores);
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
