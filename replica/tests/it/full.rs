//! A disk without room: writes are refused and name it, everything else goes on, and so do writes once there is room.

use disk::{Fault, Faults, MemoryDisk, Operation};
use replica::{CommitError, Error, Mode};

use crate::space::{Local, NOW, Space, contents, get, put, set};

/// Room for some commits, and for nothing that takes a new file.
const LEFT: u64 = 4 << 10;

fn packs(disk: &MemoryDisk) -> usize {
    disk.files().keys().filter(|name| name.starts_with("packs/")).count()
}

/// Writes until it is refused, by the full disk and nothing else; how many were taken.
fn fill(replica: &mut Local) -> usize {
    for n in 0.. {
        match put(replica, NOW, &format!("filler-{n}"), &"v".repeat(900)) {
            Ok(_) => replica.flush().map(drop).expect("what was taken has its room"),
            Err(CommitError::Replica(error)) => {
                assert!(error.is_full(), "{error:?}");
                return n;
            }
            Err(error) => panic!("{error:?}"),
        };
    }
    unreachable!("the disk is not endless")
}

#[test]
fn full_disk_refuses_writes_and_nothing_else() {
    let space = Space::new(1);
    let disk = MemoryDisk::new(1);
    let mut replica = space.create(0, &disk);
    set(&mut replica, "early", "1");
    space.anchor(NOW, &mut replica);
    disk.set_capacity(Some(disk.used() + LEFT));
    let taken = fill(&mut replica);
    let before = packs(&disk);
    for _ in 0..3 {
        let refused = replica.checkpoint(NOW).expect_err("a pack needs room");
        assert!(refused.is_full(), "{refused:?}");
        let refused = space.try_anchor(NOW, &mut replica).expect_err("so does a handle");
        assert!(refused.is_full(), "{refused:?}");
    }
    assert_eq!(packs(&disk), before, "what was begun is taken away again");
    assert_eq!(contents(&replica).len(), taken + 1);

    // Started on the full disk, it shows as much, and refuses as much.
    drop(replica);
    let mut replica = space.open(0, &disk, 2);
    assert_eq!(contents(&replica).len(), taken + 1);
    fill(&mut replica);

    disk.set_capacity(None);
    set(&mut replica, "late", "1");
    replica.checkpoint(NOW).expect("there is room");
    space.anchor(NOW, &mut replica);
    assert_eq!(get(&replica, "early").as_deref(), Some("1"));
    assert_eq!(replica.verify().expect("it reads").problems, [""; 0]);
    drop(replica);
    let (replica, _) = space.try_open(0, &disk, 3, Mode::ReadWrite).expect("it opens");
    assert_eq!(get(&replica, "late").as_deref(), Some("1"));
}

#[test]
fn an_error_that_is_not_about_room_does_not_say_so() {
    assert!(!Error::Stopped.is_full());
    assert!(!Error::from(wal::Error::Poisoned).is_full());
    let source = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
    assert!(!Error::Disk { action: "write", name: "manifest".into(), source }.is_full());
}

#[test]
fn manifest_that_has_no_room_leaves_the_one_before_in_force() {
    let space = Space::new(1);
    let disk = MemoryDisk::new(1);
    let mut replica = space.create(0, &disk);
    set(&mut replica, "before", "1");
    replica.checkpoint(NOW).expect("there is room");
    disk.set_faults(Faults::none().nth(Operation::Write, 0, Fault::NoSpace));
    let refused = replica.set_claim(NOW, b"claim".to_vec()).expect_err("there is none");
    assert!(refused.is_full() && disk.faults_fired() == 1, "{refused:?}");
    disk.set_faults(Faults::none());
    assert_eq!(get(&replica, "before").as_deref(), Some("1"));
    set(&mut replica, "after", "1");
    replica.set_claim(NOW, b"claim".to_vec()).expect("there is room");
    drop(replica);
    let replica = space.open(0, &disk, 2);
    assert_eq!((replica.claim(), contents(&replica).len()), (b"claim".as_slice(), 2));
}
