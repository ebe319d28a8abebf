//! Packs stay few and mostly alive, whatever a replica lives through.

use disk::{Disk, MemoryDisk};
use sync::Store;

use crate::space::{NOW, Space, contents, deliver_handle, deliver_tail, get, put, roots, set};

#[test]
fn packs_stay_few() {
    let space = Space::new(2);
    let disk = MemoryDisk::new(2);
    let (mut home, mut device) = (space.create(0, &MemoryDisk::new(1)), space.create(1, &disk));
    for n in 0..150 {
        set(&mut device, &format!("k{n}"), "v");
        deliver_tail(NOW, &mut device, &mut home);
        space.anchor(NOW, &mut home);
        deliver_handle(NOW, &mut home, &mut device);
    }
    for replica in [&home, &device] {
        let packs = replica.describe().packs;
        assert!(packs < 20, "{packs} packs");
        assert_eq!(replica.verify().unwrap().problems, [""; 0]);
    }
    drop(device);
    let mut device = space.open(1, &disk, 9);
    assert_eq!(contents(&device).len(), 150);
    assert_eq!(roots(&mut device), roots(&mut home));
}

#[test]
fn dead_nodes_and_values_go_and_live_ones_stay() {
    let mut space = Space::new(2);
    space.limits.waste_bytes = 100_000;
    let disk = MemoryDisk::new(1);
    let mut home = space.create(0, &disk);
    set(&mut home, "kept", &"k".repeat(5000));
    space.anchor(NOW, &mut home);
    let reader = home.snapshot();
    for n in 0..60 {
        for k in 0..30 {
            put(&mut home, NOW, &format!("k{k}"), &format!("{n:04}").repeat(400)).unwrap();
        }
        home.flush().unwrap();
        match n % 2 {
            0 => home.checkpoint(NOW).unwrap(),
            _ => space.anchor(NOW, &mut home),
        }
    }
    let described = home.describe();
    assert!(described.pack_bytes < 1_000_000, "{described:?}");
    assert_eq!(home.verify().unwrap().problems, [""; 0]);
    assert_eq!(get(&home, "kept").as_deref(), Some("k".repeat(5000).as_str()));
    let old = reader.get(crate::space::coll(), &crate::space::key("kept")).unwrap();
    assert_eq!(old, Some(vec![b'k'; 5000]), "a reader goes on in the old files");
    // Time passes, and what no manifest needs goes from the disk.
    for n in 1..4 {
        set(&mut home, "later", &format!("{n}"));
        space.anchor(NOW.plus_ms(n * 16 * 60_000), &mut home);
    }
    let files = disk.list("packs").unwrap();
    assert!(files.len() <= home.describe().packs + 2, "{files:?}");
    drop(home);
    let mut home = space.open(0, &disk, 9);
    assert_eq!(contents(&home).len(), 32);
    for back in 1..25 {
        let offer = home.offer(home.handle().version - back);
        assert!(offer.vector_changes.is_some(), "a peer {back} versions behind can compute");
    }
    let mut device = space.join(1, &MemoryDisk::new(2));
    deliver_handle(NOW, &mut home, &mut device);
    assert_eq!(roots(&mut device), roots(&mut home));
}
