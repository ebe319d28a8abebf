//! What a peer may not do: each is refused with a code, and none makes us remember without bound.

use btree::{Hash, Kind};
use crdt::Time;
use sync::frame::{
    BlobData, Cover, CoverRow, Data, HASHES_MAX, HEADER_LEN, Hello, PIECE_LEN_MAX, Piece, UNIT_LEN_MAX, Want,
    Yours,
};
use sync::{ByeCode, Config, Error, Frame, Reception, Role, Session};

use crate::model::{Model, SPACE, device};
use crate::pair::{Pair, describe, local};
use crate::samples;

const NOW: Time = Time(0);

/// Feeds frames from device 2 to a session of device 1 and returns the error with the Bye that follows it.
fn check(frames: &[Frame]) -> (Error, String) {
    let mut model = Model::new(1);
    let mut session = Session::new(Role::Listener, local(1, 2), NOW, Config::default());
    for frame in frames {
        while session.poll_transmit(NOW, &mut model).is_some() {}
        if let Err(error) = session.handle_bytes(NOW, &frame.encode(), &mut model) {
            let bye = session.poll_transmit(NOW, &mut model).expect("a closed session says why");
            assert_eq!(session.poll_transmit(NOW, &mut model), None);
            session.handle_bytes(NOW, &frame.encode(), &mut model).expect("bytes after the end are ignored");
            return (error, describe(&bye));
        }
    }
    panic!("nothing was refused");
}

fn hello() -> Hello {
    let instance = [0xbb; 16];
    Hello { proto: 1, device: device(2).id(), instance, features: 0, frame_max: 4 << 20, wall: NOW }
}

/// A proper beginning, as the other side of a session says it.
fn greeting() -> Vec<Frame> {
    let mut pair = Pair::new(Model::new(2), Model::new(1));
    let mut reader = sync::FrameReader::new();
    let mut frames = Vec::new();
    for _ in 0..2 {
        let bytes = pair.a.session.poll_transmit(NOW, &mut pair.a.model).expect("Hello, then Open");
        reader.feed(&bytes);
        frames.push(reader.pop().expect("own bytes").expect("a whole frame"));
    }
    frames
}

fn after_greeting(frames: impl IntoIterator<Item = Frame>) -> Vec<Frame> {
    greeting().into_iter().chain(frames).collect()
}

/// What a session has to say to a peer with these abilities, where all that it could send needs strands.
fn said_of_strands(features: u64) -> Vec<Frame> {
    let mut model = Model::new(1);
    model.write("one");
    model.flush();
    model.is_bereft = true;
    let mut session = Session::new(Role::Listener, local(1, 2), NOW, Config::default());
    let rows = vec![CoverRow { writer: model.writer, seq: 0, tip: None, yours: Yours::Unknown }];
    let opening = greeting().pop().expect("an Open");
    let mut reader = sync::FrameReader::new();
    for frame in
        [Frame::Hello(Hello { features, ..hello() }), opening, Frame::Cover(Cover { rows, more: false })]
    {
        session.handle_bytes(NOW, &frame.encode(), &mut model).expect("a good beginning");
        while let Some(bytes) = session.poll_transmit(NOW, &mut model) {
            reader.feed(&bytes);
        }
    }
    assert!(!session.is_closed());
    std::iter::from_fn(|| reader.pop().expect("own bytes")).collect()
}

#[test]
fn a_strand_goes_to_whoever_takes_strands_and_to_nobody_else() {
    let has_strand = |frame: &Frame| matches!(frame, Frame::Commits(unit) if !unit.strands.is_empty());
    assert!(said_of_strands(15).iter().any(has_strand));
    let older = said_of_strands(7);
    assert!(older.iter().all(|frame| !matches!(frame, Frame::Commits(_))), "{older:?}");
}

#[test]
fn another_protocol_is_refused() {
    let (error, bye) = check(&[Frame::Hello(Hello { proto: 2, ..hello() })]);
    assert!(matches!(error, Error::Version { proto: 2 }));
    assert_eq!(bye, "Bye Version");
    assert_eq!(error.to_string(), "peer speaks protocol 2, not 1");
}

#[test]
fn a_hello_of_another_protocol_is_told_by_its_number_whatever_else_it_says() {
    // Seven items, the first of them 9, and nothing else that this version could read.
    let payload = [0x87, 9, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    let error = Frame::decode(0, &payload).expect_err("not this protocol");
    assert!(matches!(error, Error::Version { proto: 9 }), "{error}");
    assert_eq!(error.code(), ByeCode::Version);
}

#[test]
fn a_commit_of_another_format_ends_the_session_as_another_version() {
    let joined = samples::all().into_iter().find_map(|frame| match frame {
        Frame::Joined(joined) => Some(joined),
        _ => None,
    });
    let joined = joined.expect("the frame of the join");
    let mut bytes = Frame::Joined(joined).encode()[HEADER_LEN..].to_vec();
    // The genesis is a byte string in the frame: two bytes of head, then its array, then its format.
    assert_eq!(bytes[1..5], [0x58, bytes[2], 0x87, 1]);
    bytes[4] = 2;
    let error = Frame::decode(18, &bytes).expect_err("format 2 is not known");
    assert_eq!(error.code(), ByeCode::Version);
    let source = std::error::Error::source(&error).expect("what was wrong").to_string();
    assert_eq!(source, "format 2 of a genesis is not known to this software, which knows format 1");
}

#[test]
fn oneself_is_refused_by_instance_and_not_by_device() {
    let (error, bye) = check(&[Frame::Hello(Hello { instance: [1; 16], ..hello() })]);
    assert!(matches!(error, Error::Myself));
    assert_eq!(bye, "Bye Myself");
}

#[test]
fn a_hello_for_another_device_than_the_connection_is_refused() {
    let (error, bye) = check(&[Frame::Hello(Hello { device: device(3).id(), ..hello() })]);
    assert!(matches!(error, Error::WrongDevice { .. }));
    assert_eq!(bye, "Bye NotAuthorised");
}

#[test]
fn frames_out_of_order_are_refused() {
    for frame in samples::all() {
        let name = frame.name();
        if !matches!(frame, Frame::Hello(_) | Frame::Bye(_)) {
            assert!(matches!(check(&[frame]).0, Error::Unexpected { .. }), "{name} before Hello");
        }
    }
    let (error, bye) = check(&after_greeting([Frame::Hello(hello())]));
    assert!(matches!(error, Error::Unexpected { frame: 0, .. }));
    assert_eq!(bye, "Bye Protocol");
}

#[test]
fn nodes_nobody_asked_for_are_refused() {
    let data = Data { nodes: vec![(Kind::Data, Hash([1; 32]), vec![0; 10])] };
    let (error, _) = check(&after_greeting([Frame::Data(data)]));
    assert!(matches!(error, Error::Unexpected { frame: 8, .. }));
}

#[test]
fn more_wants_than_can_be_answered_are_refused() {
    let want = || Frame::Want(Want { nodes: vec![(Kind::Data, Hash([1; 32])); HASHES_MAX], version: 1 });
    // Within one read, so that nothing is answered in between.
    let bytes: Vec<u8> = after_greeting([want(), want(), want()]).iter().flat_map(Frame::encode).collect();
    let mut session = Session::new(Role::Listener, local(1, 2), NOW, Config::default());
    let outcome = session.handle_bytes(NOW, &bytes, &mut Model::new(1));
    assert!(matches!(outcome, Err(Error::Flood { .. })));
}

#[test]
fn blobs_without_commits_are_gathered_up_to_a_limit() {
    let blob = Frame::BlobData(BlobData { hash: None, offset: 0, bytes: vec![0; 1 << 20] });
    let (error, bye) = check(&after_greeting(std::iter::repeat_n(blob, 33)));
    assert!(matches!(error, Error::Flood { .. }));
    assert_eq!(bye, "Bye Flood");
    let empty = Frame::BlobData(BlobData { hash: None, offset: 0, bytes: Vec::new() });
    let (error, _) = check(&after_greeting(std::iter::repeat_n(empty, 40_000)));
    assert!(matches!(error, Error::Flood { .. }));
}

#[test]
fn another_space_is_refused() {
    let Frame::Open(mut open) = greeting().remove(1) else { panic!("Open is the second frame") };
    open.space = crdt::SpaceId([8; 32]);
    let (error, bye) = check(&[Frame::Hello(hello()), Frame::Open(open)]);
    assert!(matches!(error, Error::WrongSpace { .. }));
    assert_eq!(bye, "Bye UnknownSpace");
}

#[test]
fn a_forged_node_closes_the_session() {
    let mut home = Model::new(2);
    home.write("x");
    home.fold();
    home.forget_history();
    let mut pair = Pair::new(Model::new(1), home);
    pair.run();
    pair.assert_converged();
    // The same again by hand, with other bytes under the hash that is wanted.
    let (mut model, mut session) =
        (Model::new(1), Session::new(Role::Dialer, local(1, 2), NOW, Config::default()));
    let mut peer = Session::new(Role::Listener, local(2, 1), NOW, Config::default());
    let mut refused = None;
    for _ in 0..20 {
        while let Some(bytes) = session.poll_transmit(NOW, &mut model) {
            peer.handle_bytes(NOW, &bytes, &mut pair.b.model).expect("honest bytes");
        }
        while let Some(mut bytes) = peer.poll_transmit(NOW, &mut pair.b.model) {
            pair.b.model.forget_history();
            if bytes[4] == 8 {
                *bytes.last_mut().expect("a node has bytes") ^= 1;
            }
            refused = session.handle_bytes(NOW, &bytes, &mut model).err().or(refused);
        }
    }
    assert_eq!(refused.map(|error| error.code()), Some(ByeCode::Forged));
}

#[test]
fn a_reception_learns_the_space_and_keeps_every_byte() {
    let bytes: Vec<u8> = greeting().iter().flat_map(Frame::encode).collect();
    let mut reception = Reception::new();
    let arrivals = bytes.chunks(7).map(|part| reception.handle_bytes(part).expect("honest bytes"));
    let arrival = arrivals.last().flatten().expect("known by the last byte");
    assert!(matches!(arrival, sync::Arrival::Space { space: SPACE, .. }));
    let mut session = Session::new(Role::Listener, local(1, 2), NOW, Config::default());
    session.handle_bytes(NOW, &reception.into_bytes(), &mut Model::new(1)).expect("the same bytes");
    let mut reception = Reception::new();
    let outcome = reception.handle_bytes(&samples::all()[12].encode());
    assert!(matches!(outcome, Err(Error::Unexpected { .. })), "a stranger begins with Hello");
}

#[test]
fn a_reception_refuses_by_the_header_what_has_no_place() {
    let header = |number: u8| {
        [&(Frame::len_max(number).expect("spoken") as u32).to_be_bytes()[..], &[number]].concat()
    };
    let hello = greeting()[0].encode();
    for number in (0..=18).filter(|number| Frame::len_max(*number).is_some()) {
        for (begin, has_place) in [(&[][..], number == 0), (&hello, matches!(number, 1 | 17))] {
            let mut reception = Reception::new();
            assert!(matches!(reception.handle_bytes(begin), Ok(None)));
            let outcome = reception.handle_bytes(&header(number));
            assert_eq!(outcome.is_ok(), has_place, "frame {number} after {} bytes", begin.len());
        }
    }
}

#[test]
fn a_peer_that_takes_less_than_the_largest_frame_is_refused() {
    let narrow = Hello { frame_max: (4 << 20) - 1, ..hello() };
    let (error, bye) = check(&[Frame::Hello(narrow)]);
    assert!(matches!(error, Error::Malformed { frame: 0, .. }));
    assert_eq!(bye, "Bye Protocol");
}

/// Time passes by the session's own timers while the peer says a byte of `bytes` every ten seconds.
fn trickle(session: &mut Session, bytes: &[u8]) -> Option<u64> {
    let mut model = Model::new(1);
    for (n, byte) in (1..).zip(bytes) {
        let until = NOW.plus_ms(n * 10_000);
        while let Some(timer) = session.poll_timeout().filter(|timer| *timer <= until) {
            session.handle_timeout(timer);
            while session.poll_transmit(timer, &mut model).is_some() {}
            if session.is_closed() {
                return Some(timer.0 / 1000);
            }
        }
        session.handle_bytes(until, std::slice::from_ref(byte), &mut model).expect("honest bytes");
    }
    None
}

#[test]
fn an_open_that_never_ends_is_not_waited_for_however_alive_the_peer_is() {
    let bytes: Vec<u8> = greeting().iter().flat_map(Frame::encode).collect();
    let mut session = Session::new(Role::Listener, local(1, 2), NOW, Config::default());
    assert_eq!(trickle(&mut session, &bytes), Some(600));
    assert_eq!(session.status(&Model::new(1)).end.map(|end| end.code), Some(ByeCode::Timeout));
    // A second Open with more to come is waited for anew, and no longer either.
    let mut session = Session::new(Role::Listener, local(1, 2), NOW, Config::default());
    session.handle_bytes(NOW, &bytes, &mut Model::new(1)).expect("honest bytes");
    let Frame::Open(mut open) = greeting().remove(1) else { panic!("Open is the second frame") };
    open.more = true;
    session.handle_bytes(NOW, &Frame::Open(open.clone()).encode(), &mut Model::new(1)).expect("a first page");
    assert_eq!(trickle(&mut session, &Frame::Open(open).encode()), Some(600));
}

#[test]
fn texts_of_refusals_are_kept_up_to_a_limit() {
    let mut model = Model::new(1);
    let mut session = Session::new(Role::Listener, local(1, 2), NOW, Config::default());
    let nack = |n: u64| {
        let writer = crdt::WriterId::home(n.to_be_bytes());
        let (seq, code, detail) = (1, sync::NackCode::Cut, "x".repeat(512));
        Frame::Nack(sync::frame::Nack { writer, seq, code, detail })
    };
    for frame in after_greeting((0..5_000).map(nack)) {
        session.handle_bytes(NOW, &frame.encode(), &mut model).expect("a peer may refuse what it wants");
    }
    let nacks = session.status(&model).nacks;
    assert_eq!((nacks.len(), nacks.iter().filter(|nack| !nack.detail.is_empty()).count()), (5_000, 1_024));
    assert!(session.held_len() < 2 << 20, "{}", session.held_len());
}

#[test]
fn pieces_that_make_no_unit_are_refused_before_they_are_gathered() {
    let piece = |rest: u64, len: usize| Frame::Piece(Piece { rest, bytes: vec![7; len] });
    let max = UNIT_LEN_MAX as u64;
    let refused = |frames: Vec<Frame>| {
        let (error, _) = check(&after_greeting(frames));
        error
    };
    let error = refused(vec![piece(max, PIECE_LEN_MAX)]);
    assert!(matches!(error, Error::TooLarge { frame: 19, .. }), "{error}");
    let error = refused(vec![piece(2 << 20, PIECE_LEN_MAX), piece(2 << 20, PIECE_LEN_MAX)]);
    assert!(matches!(error, Error::Unexpected { frame: 19, .. }), "{error}");
    let error = refused(vec![piece(9, PIECE_LEN_MAX), piece(0, 9)]);
    assert!(matches!(error, Error::Malformed { frame: 19, .. }), "{error}");
    let unit = samples::all().into_iter().find(|frame| matches!(frame, Frame::Commits(_)));
    let error = refused(vec![piece(9, PIECE_LEN_MAX), unit.expect("a sample")]);
    assert!(matches!(error, Error::Unexpected { frame: 3, .. }), "{error}");
    let short = Frame::Piece(Piece { rest: 5, bytes: vec![7] }).encode();
    assert!(matches!(Frame::decode(19, &short[HEADER_LEN..]), Err(Error::Malformed { .. })));
}
