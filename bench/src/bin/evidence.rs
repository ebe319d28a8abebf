//! Why some crates named on the project's card are replaced: each figure of `docs/decisions/` measured again.
//!
//! `cargo run --release --manifest-path bench/Cargo.toml --bin evidence -- sled|crdts|ciborium`

use std::hint::black_box;
use std::time::Instant;

use crdts::{CmRDT, Orswot};

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("sled") => sled_flushes(),
        Some("crdts") => crdts_bytes(),
        Some("ciborium") => ciborium_decoding(),
        _ => {
            eprintln!("usage: evidence sled|crdts|ciborium");
            std::process::exit(2);
        }
    }
}

/// Inserts and flushes 100 times. Run under `strace -f -c -e trace=fsync,fdatasync,sync_file_range,msync` to count
/// what reaches the device: an `fsync` or `fdatasync` for each flush is what durable means.
fn sled_flushes() {
    let folder = std::env::temp_dir().join(format!("strandline-evidence-{}", std::process::id()));
    let db = sled::open(&folder).expect("a fresh folder opens");
    let start = Instant::now();
    for i in 0..100_u32 {
        db.insert(i.to_be_bytes(), &[7_u8; 256][..]).expect("insert");
        black_box(db.flush().expect("flush"));
    }
    println!("100 insert+flush in {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    drop(db);
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
}

/// Two equal sets, serialised: how many of 100 pairs of equal values give different bytes.
fn crdts_bytes() {
    let build = || {
        let mut set: Orswot<u32, u8> = Orswot::new();
        for member in 0..32 {
            let add = set.read_ctx().derive_add_ctx((member % 4) as u8);
            set.apply(set.add(member, add));
        }
        set
    };
    let mut different = 0;
    for _ in 0..100 {
        let (a, b) = (build(), build());
        assert_eq!(a, b, "both hold the same members under the same context");
        let encode = |set: &Orswot<u32, u8>| bincode::serialize(set).expect("a set serialises");
        different += usize::from(encode(&a) != encode(&b));
    }
    println!("{different} of 100 pairs of equal Orswots have different bytes");
}

/// The same frozen commits read by our codec (checked, hashed) and by ciborium (into a dynamic value, nothing checked).
fn ciborium_decoding() {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../crdt/golden/commits.txt");
    let text = std::fs::read_to_string(golden).expect("the golden commits lie beside this");
    let words = text.split_whitespace().filter(|word| word.len() > 100);
    let bytes: Vec<Vec<u8>> =
        words.filter_map(unhex).filter(|bytes| crdt::Commit::decode(bytes).is_ok()).collect();
    assert!(bytes.len() >= 10, "the golden file holds commits in hex");
    let time = |decode: &dyn Fn(&[u8])| {
        let start = Instant::now();
        for _ in 0..2_000 {
            bytes.iter().for_each(|bytes| decode(bytes));
        }
        start.elapsed().as_secs_f64() * 1e9 / (2_000 * bytes.len()) as f64
    };
    for round in 1..=3 {
        let ours = time(&|bytes| drop(black_box(crdt::Commit::decode(bytes).expect("golden"))));
        let theirs =
            time(&|bytes| drop(black_box(ciborium::from_reader::<ciborium::Value, _>(bytes).expect("CBOR"))));
        println!(
            "round {round}: our codec {ours:.0} ns a commit, hashes included; ciborium {theirs:.0} ns, nothing checked"
        );
    }
}

fn unhex(word: &str) -> Option<Vec<u8>> {
    (0..word.len()).step_by(2).map(|at| u8::from_str_radix(word.get(at..at + 2)?, 16).ok()).collect()
}
