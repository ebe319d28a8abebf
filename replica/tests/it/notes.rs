//! Local notes: durable with their commit, gone with it, never replicated.

use crdt::Class;
use disk::MemoryDisk;
use replica::{CommitError, Error};

use crate::space::{Local, NOW, Space, coll, deliver, get, key};

fn import(replica: &mut Local, row: u8) {
    let mut tx = replica.begin();
    tx.put(coll(), &key(&format!("row{row}")), b"v").unwrap();
    tx.note(b"import", &[row]).unwrap();
    replica.commit(NOW, tx, Class::Normal).unwrap();
}

#[test]
fn note_and_rows_survive_together_or_not_at_all() {
    for seed in 0..40 {
        let space = Space::new(1);
        let disk = MemoryDisk::new(seed);
        let mut replica = space.create(0, &disk);
        import(&mut replica, 1);
        replica.flush().unwrap();
        import(&mut replica, 2);
        if seed % 2 == 0 {
            // The manifest must not hold a note that is ahead of the log.
            let job = replica.begin_checkpoint().unwrap().expect("there is something to fold");
            let done = job.run().unwrap();
            replica.finish_checkpoint(NOW, done).unwrap();
        }
        disk.crash();
        let replica = space.open(0, &disk, 9);
        let row = replica.notes(b"import").expect("the first is flushed")[0];
        assert!(row >= 1);
        assert_eq!(get(&replica, "row2").is_some(), row == 2, "seed {seed}");
    }
}

#[test]
fn note_outlives_the_log_it_was_written_to() {
    let space = Space::new(1);
    let disk = MemoryDisk::new(1);
    let mut replica = space.create(0, &disk);
    replica.note(b"a", b"1").unwrap();
    replica.note(b"b", b"2").unwrap();
    replica.checkpoint(NOW).unwrap();
    replica.note(b"b", b"").unwrap();
    replica.flush().unwrap();
    drop(replica);
    let mut replica = space.open(0, &disk, 2);
    assert_eq!((replica.notes(b"a"), replica.notes(b"b")), (Some(b"1".to_vec()), None));
    replica.checkpoint(NOW).unwrap();
    space.anchor(NOW, &mut replica);
    drop(replica);
    assert_eq!(space.open(0, &disk, 3).notes(b"a"), Some(b"1".to_vec()));
}

#[test]
fn notes_that_would_fill_the_manifest_are_refused_and_everything_goes_on() {
    let space = Space::new(1);
    let disk = MemoryDisk::new(1);
    let mut replica = space.create(0, &disk);
    for n in 0..4 {
        replica.note(format!("source {n}").as_bytes(), &[1; 30_000]).unwrap();
    }
    let refusal = replica.note(b"source 4", &[1; 30_000]);
    assert!(matches!(refusal, Err(Error::NotesFull { .. })), "{refusal:?}");
    let mut tx = replica.begin();
    tx.put(coll(), &key("row"), b"v").unwrap();
    tx.note(b"import", &[1; 30_000]).unwrap();
    let refusal = replica.commit(NOW, tx, Class::Normal);
    assert!(matches!(refusal, Err(CommitError::Replica(Error::NotesFull { .. }))), "{refusal:?}");
    replica.note(b"source 0", &[2; 30_000]).expect("one takes another's place");
    replica.checkpoint(NOW).unwrap();
    replica.note(b"source 0", b"").unwrap();
    import(&mut replica, 7);
    replica.checkpoint(NOW).unwrap();
    drop(replica);
    let replica = space.open(0, &disk, 2);
    assert_eq!(replica.notes(b"import"), Some(vec![7]));
    assert_eq!(replica.notes(b"source 3"), Some(vec![1; 30_000]));
    assert_eq!(get(&replica, "row"), None);
}

#[test]
fn note_never_leaves_the_device() {
    let space = Space::new(2);
    let (mut a, mut b) = (space.create(0, &MemoryDisk::new(1)), space.create(1, &MemoryDisk::new(2)));
    import(&mut a, 1);
    a.flush().unwrap();
    deliver(NOW, &mut a, &mut b);
    assert!(get(&b, "row1").is_some());
    assert_eq!(b.notes(b"import"), None);
    assert!(a.note(b"too large", &[0; 1 << 20]).is_err());
}
