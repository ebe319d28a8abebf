//! Clocks that are put back: a writer's time rises all the same, or its commits would be invalid everywhere.

use crdt::{Class, Time};
use disk::MemoryDisk;

use crate::space::{NOW, Space, coll, contents, deliver, key};

#[test]
fn a_clock_put_back_under_several_classes_leaves_every_commit_valid() {
    let space = Space::new(2);
    let (mut a, mut b) = (space.create(0, &MemoryDisk::new(1)), space.create(1, &MemoryDisk::new(2)));
    let mut write = |now: Time, class, name: &str| {
        let mut transaction = a.begin();
        transaction.put(coll(), &key(name), b"v").unwrap();
        a.commit(now, transaction, class).unwrap();
    };
    // The clock is nearly five minutes ahead, then an hour, then right: the critical writer is closed and time starts
    // again, while the bulk writer stays open with its last commit ahead of the clock.
    write(NOW.plus_ms(299_000), Class::Bulk, "a");
    write(NOW.plus_ms(3_600_000), Class::Critical, "b");
    write(NOW, Class::Critical, "c");
    write(NOW, Class::Bulk, "d");
    a.flush().unwrap();
    deliver(NOW, &mut a, &mut b);
    assert_eq!(contents(&b).len(), 4);
}
