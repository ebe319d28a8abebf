//! Transactions larger than a frame: they travel in pieces, and show whole or not at all.

use crdt::{Class, Time};
use disk::MemoryDisk;
use sync::frame::{PIECE_LEN_MAX, Piece};
use sync::{Config, Frame, FrameReader, Role, Session};

use crate::space::{Local, NOW, Space, coll, contents, deliver_handle, key, roots};

const COUNT: usize = 100_000;

/// One transaction of many small items, some 7 MiB.
fn write_many(replica: &mut Local) {
    let mut transaction = replica.begin();
    for n in 0..COUNT {
        transaction.put(coll(), &key(&format!("item-{n:06}")), format!("value {n}").as_bytes()).unwrap();
    }
    replica.commit(NOW, transaction, Class::Normal).expect("it is not too large");
    replica.flush().unwrap();
}

fn session(role: Role, own: &Local, peer: &Local) -> Session {
    let id = |replica: &Local| replica.device().id();
    let instance = [u8::from(role == Role::Dialer); 16];
    let local = sync::Local { device: id(own), instance, peer: id(peer) };
    Session::new(role, local, NOW, Config::default())
}

/// Carries what each end says to the other until both are silent; `look` sees the receiver after each frame.
fn converse(a: &mut Local, b: &mut Local, mut look: impl FnMut(&Frame, &mut Local, &Session)) {
    let mut sessions = (session(Role::Dialer, a, b), session(Role::Listener, b, a));
    let mut now = NOW;
    loop {
        let mut is_silent = true;
        while let Some(bytes) = sessions.0.poll_transmit(now, a) {
            is_silent = false;
            sessions.1.handle_bytes(now, &bytes, b).expect("an honest peer");
            let mut reader = FrameReader::new();
            reader.feed(&bytes);
            while let Some(frame) = reader.pop().unwrap() {
                look(&frame, b, &sessions.1);
            }
            b.flush().unwrap();
        }
        while let Some(bytes) = sessions.1.poll_transmit(now, b) {
            is_silent = false;
            sessions.0.handle_bytes(now, &bytes, a).expect("an honest peer");
            a.flush().unwrap();
        }
        if is_silent {
            return;
        }
        now = Time(now.0 + 1);
    }
}

#[test]
fn a_hundred_thousand_items_in_one_transaction_arrive_whole() {
    let space = Space::new(2);
    let (mut device, mut home) = (space.create(1, &MemoryDisk::new(1)), space.create(0, &MemoryDisk::new(2)));
    write_many(&mut device);
    let (mut pieces, mut counts) = (0, Vec::new());
    converse(&mut device, &mut home, |frame, home, session| {
        if let Frame::Piece(Piece { bytes, .. }) = frame {
            pieces += 1;
            assert!(bytes.len() <= PIECE_LEN_MAX);
            assert!(session.held_len() <= sync::frame::UNIT_LEN_MAX + (1 << 20));
            counts.push(contents(home).len());
        }
    });
    assert!(pieces > 4, "{pieces} pieces");
    assert!(counts.iter().all(|count| *count == 0), "half a transaction was shown: {counts:?}");
    assert_eq!(contents(&home).len(), COUNT);
    space.anchor(NOW, &mut home);
    deliver_handle(NOW, &mut home, &mut device);
    assert_eq!(roots(&mut device), roots(&mut home));
    assert_eq!(home.verify().unwrap().problems, [""; 0]);
}

#[test]
fn a_relay_passes_it_on_with_the_seal_of_its_author() {
    let space = Space::new(3);
    let mut author = space.create(1, &MemoryDisk::new(1));
    let mut relay = space.create(2, &MemoryDisk::new(2));
    let disk = MemoryDisk::new(3);
    let mut home = space.create(0, &disk);
    write_many(&mut author);
    converse(&mut author, &mut relay, |_, _, _| {});
    converse(&mut relay, &mut home, |_, _, _| {});
    assert_eq!(contents(&home).len(), COUNT);
    drop(home);
    let home = space.open(0, &disk, 9);
    assert_eq!(contents(&home).len(), COUNT, "and after a restart");
}
