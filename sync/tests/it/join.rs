//! A stranger with a ticket, and the home it asks.

use crdt::{DeviceKey, Role, Ticket, Time};
use sync::{Answer, Arrival, ByeCode, Error, Joiner, Reception, join};

use crate::model::device;
use crate::pair::local;
use crate::samples;

const EXPORTER: &[u8] = b"what TLS exports on both ends";

fn ticket() -> Ticket {
    Ticket {
        genesis: samples::genesis(),
        ring: Vec::new(),
        addresses: vec!["192.0.2.1:4433".into()],
        role: Role::Writer,
        uses: 1,
        not_after: Time(0),
        secret: [6; 32],
    }
}

fn joiner(key: &DeviceKey) -> Joiner {
    Joiner::new(&local(1, 2), Time(0), ticket(), key.public(), EXPORTER)
}

/// What the home makes of a stranger's bytes.
fn arrive(joiner: &mut Joiner) -> (sync::frame::Hello, sync::frame::Join) {
    let bytes = joiner.poll_transmit().expect("the stranger speaks first");
    assert_eq!(joiner.poll_transmit(), None);
    match Reception::new().handle_bytes(&bytes) {
        Ok(Some(Arrival::Join { hello, join })) => (hello, join),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_stranger_with_the_secret_is_admitted() {
    let key = device(1);
    let mut joiner = joiner(&key);
    let (hello, join) = arrive(&mut joiner);
    join::check_identity(&hello, &join, key.id()).expect("the connection is the stranger's");
    assert!(join::proves(&join, &[6; 32], EXPORTER));
    let space = samples::genesis().space();
    assert_eq!(join.space, space);
    let answer = join::admit(samples::genesis(), Vec::new(), samples::handle(space, &device(2)));
    for part in answer[..answer.len() - 1].chunks(9) {
        assert_eq!(joiner.handle_bytes(part).expect("honest bytes"), None);
    }
    match joiner.handle_bytes(&answer[answer.len() - 1..]) {
        Ok(Some(Answer::Joined(joined))) => assert_eq!(joined.handle.version, 300),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_proof_holds_for_one_secret_one_key_and_one_connection() {
    let (_, join) = arrive(&mut joiner(&device(1)));
    assert!(!join::proves(&join, &[7; 32], EXPORTER));
    assert!(!join::proves(&join, &[6; 32], b"another connection"));
    let stolen = sync::frame::Join { device_key: device(3).public(), ..join };
    assert!(!join::proves(&stolen, &[6; 32], EXPORTER));
}

#[test]
fn a_stranger_that_shows_another_key_than_its_connection_is_refused() {
    let (hello, join) = arrive(&mut joiner(&device(3)));
    let outcome = join::check_identity(&hello, &join, device(1).id());
    assert!(matches!(outcome, Err(Error::WrongDevice { .. })));
}

#[test]
fn a_refusal_says_why() {
    let mut joiner = joiner(&device(1));
    match joiner.handle_bytes(&join::refuse(ByeCode::TicketSpent, 0)) {
        Ok(Some(Answer::Refused(bye))) => assert_eq!(bye.code, ByeCode::TicketSpent),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_answer_for_another_space_or_signed_by_another_home_is_refused() {
    let space = samples::genesis().space();
    let forged = join::admit(samples::genesis(), Vec::new(), samples::handle(space, &device(9)));
    assert!(matches!(joiner(&device(1)).handle_bytes(&forged), Err(Error::Forged { .. })));
    let other = crdt::Genesis { nonce: [0; 32], ..samples::genesis() };
    let handle = samples::handle(other.space(), &device(2));
    let wrong = join::admit(other, Vec::new(), handle);
    assert!(matches!(joiner(&device(1)).handle_bytes(&wrong), Err(Error::WrongSpace { .. })));
}
