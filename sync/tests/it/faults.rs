//! What goes wrong between two honest replicas: cuts, fragments, duplicates, crashes, crossings.

use crdt::{Dot, Time};
use expect_test::expect;
use sync::{ByeCode, Config, State};

use crate::model::{Model, device, writer_of};
use crate::pair::Pair;

/// Replicas with something to do for every frame: commits both ways, a blob, a newer base to fetch.
fn busy() -> (Model, Model) {
    let mut home = Model::new(2);
    for seed in 10..16 {
        home.key = device(seed);
        home.commit(writer_of(seed), "old", Vec::new(), Vec::new());
    }
    home.key = device(2);
    home.fold();
    home.write("new");
    home.flush();
    home.forget_history();
    let mut dev = Model::new(1);
    dev.write("one");
    dev.commit(dev.writer, "two", Vec::new(), vec![vec![5; 300]]);
    dev.flush();
    (dev, home)
}

#[test]
fn a_cut_at_any_byte_is_made_up_for_by_the_next_connection() {
    let (a, b) = busy();
    let mut whole = Pair::new(a.clone(), b.clone());
    whole.run();
    whole.assert_converged();
    for budget in 0..whole.carried {
        let mut pair = Pair::new(a.clone(), b.clone());
        pair.budget = budget;
        pair.run().reconnect();
        pair.run();
        pair.assert_converged();
        assert_eq!(pair.a.model.contents(), whole.a.model.contents(), "cut after {budget} bytes");
    }
}

#[test]
fn fragments_of_any_size_say_the_same() {
    let (a, b) = busy();
    let mut whole = Pair::new(a.clone(), b.clone());
    whole.run();
    for fragment in (1..64).chain([100, 255, 256, 257, 1_000]) {
        let mut pair = Pair::new(a.clone(), b.clone());
        pair.fragment = fragment;
        pair.run();
        assert_eq!(pair.trace, whole.trace, "fragments of {fragment} bytes");
    }
}

#[test]
fn a_receiver_that_loses_what_it_did_not_flush_is_sent_it_again() {
    let (a, b) = busy();
    let mut pair = Pair::new(a, b);
    pair.budget = 1_500;
    pair.run();
    pair.b.model.write("unflushed");
    pair.b.model.crash();
    pair.a.model.crash();
    pair.reconnect();
    pair.run();
    pair.assert_converged();
}

#[test]
fn the_same_unit_twice_is_held_once_and_acknowledged_twice() {
    let mut a = Model::new(1);
    a.write("x");
    a.flush();
    let mut pair = Pair::new(a, Model::new(2));
    let mut unit = None;
    // The unit is taken from a first conversation and repeated in it, as a careless relay would.
    for _ in 0..100 {
        for _ in 0..10 {
            if let Some(bytes) = pair.a.session.poll_transmit(pair.now, &mut pair.a.model) {
                unit = (bytes[4] == 3).then_some(bytes.clone()).or(unit);
                pair.b.session.handle_bytes(pair.now, &bytes, &mut pair.b.model).expect("honest bytes");
            }
        }
        if let Some(bytes) = pair.b.session.poll_transmit(pair.now, &mut pair.b.model) {
            pair.a.session.handle_bytes(pair.now, &bytes, &mut pair.a.model).expect("honest bytes");
        }
        pair.b.model.flush();
    }
    let unit = unit.expect("a sent its commit");
    pair.b.session.handle_bytes(pair.now, &unit, &mut pair.b.model).expect("a duplicate is harmless");
    pair.run();
    pair.assert_converged();
    assert_eq!(pair.b.model.accepted, 2);
    assert!(pair.trace.contains("b Ack v1 [w1:1]"), "{}", pair.trace);
}

#[test]
fn what_is_not_ready_is_dropped_and_comes_again_after_a_pause() {
    let mut a = Model::new(1);
    let mut b = Model::new(2);
    // b wrote on top of something that a cannot have yet: as if a Handle had crossed on the way.
    let lost = Dot::new(writer_of(9), 1);
    b.commit(b.writer, "depends", vec![lost], Vec::new());
    b.flush();
    a.flush();
    let mut pair = Pair::new(a, b);
    pair.run();
    expect![[r#"
        a Hello
        b Hello
        a Open v1 []
        b Open v1 [w2:1]
        a Cover [w2:0 Unknown]
        b Cover []
        b Commits [w2:1]
        a Cover [w2:0 Unknown]
    "#]]
    .assert_eq(&pair.take_trace());
    // Meanwhile a gets it from elsewhere.
    pair.a.model.key = device(9);
    pair.a.model.commit(lost.writer, "from elsewhere", Vec::new(), Vec::new());
    pair.run().take_trace();
    pair.wait(1_000);
    expect![[r#"
        b Commits [w2:1]
        a Ack v1 [w2:1]
    "#]]
    .assert_eq(&pair.take_trace());
    pair.assert_converged();
}

#[test]
fn a_unit_that_is_never_ready_is_not_repeated_in_a_storm() {
    let mut b = Model::new(2);
    b.commit(b.writer, "depends", vec![Dot::new(writer_of(9), 1)], Vec::new());
    let mut pair = Pair::new(Model::new(1), b);
    pair.wait(3_600_000);
    let attempts = pair.trace.matches("b Commits").count();
    assert!((10..200).contains(&attempts), "{attempts} attempts in an hour");
}

#[test]
fn a_dropped_unit_of_many_writers_pauses_as_long_as_one_of_one_writer() {
    let mut b = Model::new(2);
    let lost = Dot::new(writer_of(9), 1);
    b.commit(b.writer, "depends", vec![lost], Vec::new());
    for seed in 10..40 {
        b.key = device(seed);
        b.commit(writer_of(seed), "sent in the same unit", Vec::new(), Vec::new());
    }
    b.flush();
    let mut pair = Pair::new(Model::new(1), b);
    pair.run();
    pair.a.model.key = device(9);
    pair.a.model.commit(lost.writer, "from elsewhere", Vec::new(), Vec::new());
    pair.wait(1_000);
    pair.assert_converged();
}

#[test]
fn a_newer_base_of_the_peer_ends_a_pause() {
    let mut b = Model::new(2);
    let lost = Dot::new(writer_of(9), 1);
    b.commit(b.writer, "depends", vec![lost], Vec::new());
    b.flush();
    let mut pair = Pair::new(Model::new(1), b);
    // Long enough that the next attempt is half a minute away.
    pair.wait(120_000);
    pair.a.model.key = device(9);
    pair.a.model.commit(lost.writer, "from elsewhere", Vec::new(), Vec::new());
    pair.a.model.fold();
    pair.run();
    pair.assert_converged();
}

#[test]
fn a_pause_that_is_over_does_not_stay_due_while_the_peer_adopts() {
    let mut b = Model::new(2);
    b.commit(b.writer, "depends", vec![Dot::new(writer_of(9), 1)], Vec::new());
    let mut pair = Pair::new(Model::new(1), b);
    pair.run();
    // From here on nothing of b's arrives, so a stays on the older base.
    pair.b.model.fold();
    pair.now = pair.now.plus_ms(500);
    while pair.b.session.poll_transmit(pair.now, &mut pair.b.model).is_some() {}
    assert!(pair.b.session.poll_timeout().is_some_and(|at| at > pair.now));
}

#[test]
fn a_fetch_left_to_another_session_is_taken_up_when_that_one_ends() {
    let (a, b) = busy();
    let mut pair = Pair::new(a, b);
    pair.a.model.is_fetching_elsewhere = true;
    pair.run();
    assert_eq!(pair.states().0, State::Align);
    // The other session ends before it has brought the leaves.
    pair.a.model.is_fetching_elsewhere = false;
    pair.wait(5_000);
    pair.assert_converged();
}

#[test]
fn what_a_peer_lost_without_saying_so_is_noticed_by_its_beats() {
    let mut a = Model::new(1);
    a.write("kept");
    a.flush();
    let mut pair = Pair::new(a, Model::new(2));
    let before = pair.b.model.clone();
    pair.wait(2_000);
    assert_eq!(pair.states(), (State::Live, State::Live));
    // An older copy of the replica, under the same session.
    pair.b.model = before;
    pair.wait(120_000);
    pair.assert_converged();
    assert_eq!(pair.states(), (State::Live, State::Live), "{}", pair.trace);
}

#[test]
fn a_refused_writer_does_not_hold_up_the_others() {
    let mut a = Model::new(1);
    a.write("refused");
    a.key = device(5);
    a.commit(writer_of(5), "welcome", Vec::new(), Vec::new());
    a.key = device(1);
    let mut b = Model::new(2);
    b.cut.push(writer_of(1));
    let mut pair = Pair::new(a, b);
    pair.wait(1_000);
    expect![[r#"
        a Hello
        b Hello
        a Open v1 [w1:1, w5:1]
        b Open v1 []
        a Cover []
        b Cover [w1:0 Unknown, w5:0 Unknown]
        a Commits [w1:1, w5:1]
        b Nack w1:1 Cut
        b Cover [w5:0 Unknown]
        a Commits [w5:1]
        b Ack v1 [w5:1]
    "#]]
    .assert_eq(&pair.take_trace());
    assert_eq!(sync::Store::seen(&pair.b.model, &writer_of(5)), 1);
    assert_eq!(pair.status().0.nacks.len(), 1);
    // What the refused writer writes later is not even tried.
    pair.a.model.write("refused too");
    assert_eq!(pair.run().take_trace(), "");
    // A Handle may have changed the reason.
    pair.b.model.cut.clear();
    pair.a.model.fold();
    pair.run();
    pair.assert_converged();
}

#[test]
fn nothing_is_acknowledged_before_it_is_flushed() {
    let mut pair = Pair::new(Model::new(1), Model::new(2));
    pair.wait(2_000);
    pair.a.model.write("x");
    pair.a.model.flush();
    let unit = pair.a.session.poll_transmit(pair.now, &mut pair.a.model).expect("a has news");
    let b = &mut pair.b;
    b.session.handle_bytes(pair.now, &unit, &mut b.model).expect("honest bytes");
    assert_eq!(b.session.poll_transmit(pair.now, &mut b.model), None);
    assert_eq!(pair.status().0.lag_commits, 1);
    pair.run();
    assert_eq!(pair.status().0.lag_commits, 0);
}

#[test]
fn two_handles_of_one_version_close_the_session() {
    let (mut a, mut b) = (Model::new(1), Model::new(2));
    a.write("x");
    a.fold();
    b.write("y");
    b.fold();
    let mut pair = Pair::new(a, b);
    pair.run();
    assert!(pair.status().0.end.is_some_and(|end| end.code == ByeCode::HandleConflict));
}

#[test]
fn a_peer_without_the_nodes_it_offered_is_left_for_another() {
    let (a, mut b) = busy();
    b.forget_nodes();
    let mut pair = Pair::new(a, b);
    pair.run();
    assert!(pair.status().0.end.is_some_and(|end| end.code == ByeCode::NodesMissing), "{}", pair.trace);
}

#[test]
fn a_silent_peer_times_out() {
    let mut pair = Pair::new(Model::new(1), Model::new(2));
    pair.wait(2_000);
    pair.budget = 0;
    let mut waited = 0;
    for _ in 0..100 {
        if pair.a.session.is_closed() {
            break;
        }
        let due = pair.a.session.poll_timeout().expect("a session that is open has a timer");
        waited = due.since(pair.now);
        pair.a.session.handle_timeout(due);
        while pair.a.session.poll_transmit(due, &mut pair.a.model).is_some() {}
    }
    assert_eq!(waited, 89_000, "two intervals and patience, from the beat that came a second ago");
    assert_eq!(pair.states().0, State::Closed);
}

/// What `b` does with a frame of 16 KiB that goes on by so many bytes every 15 seconds, while the peer is well.
fn grow(len: usize) -> Pair {
    let mut pair = Pair::new(Model::new(1), Model::new(2));
    pair.wait(2_000);
    let header = [0, 0, 0x40, 3, 2, 0x82, 0x80];
    pair.b.session.handle_bytes(pair.now, &header, &mut pair.b.model).expect("the beginning of a Cover");
    for _ in 0..11 {
        pair.now = pair.now.plus_ms(15_000);
        pair.b.session.handle_timeout(pair.now);
        while pair.b.session.poll_transmit(pair.now, &mut pair.b.model).is_some() {}
        if pair.b.session.is_closed() {
            break;
        }
        let part = vec![0; len];
        pair.b
            .session
            .handle_bytes(pair.now, &part, &mut pair.b.model)
            .expect("a frame is not read before its end");
    }
    pair
}

#[test]
fn a_frame_that_does_not_end_is_not_waited_for_though_the_peer_beats() {
    let begun = Time(1_000_000).plus_ms(2_000);
    let pair = grow(41);
    let status = pair.status().1;
    assert_eq!(status.end.map(|end| end.code), Some(ByeCode::Timeout), "{status:?}");
    assert_eq!(pair.now.since(begun), 60_000);
    assert_eq!(
        status.last_error.as_deref(),
        Some("a frame of the peer does not end, 130 bytes of it are here")
    );
    // However thin the link: it goes on.
    assert_eq!(grow(1_366).status().1.end, None);
}

#[test]
fn a_peer_that_stops_reading_costs_a_window_and_a_unit() {
    let mut a = Model::new(1);
    let value = "v".repeat(1_000);
    for _ in 0..2_000 {
        a.write(&value);
    }
    let config = Config { window_len: 100_000, unit_len: 10_000, ..Config::default() };
    let mut pair = Pair::with_config(a, Model::new(2), config);
    // b says what it has, and then nothing more.
    pair.budget = 1_800;
    pair.run();
    let mut sent = 0;
    while let Some(bytes) = pair.a.session.poll_transmit(pair.now, &mut pair.a.model) {
        sent += bytes.len();
    }
    assert!(sent < 100_000 + 20_000, "{sent} bytes without an ack");
}

#[test]
fn a_session_whose_transport_takes_nothing_waits_for_the_peer_and_not_for_its_own_beat() {
    let mut pair = Pair::new(Model::new(1), Model::new(2));
    pair.run();
    let (beat, deadline) = (pair.a.session.poll_timeout().unwrap(), pair.a.session.deadline().unwrap());
    assert!(beat < deadline, "{beat:?} {deadline:?}");
    // Nobody polls, so that the beat stays due.
    pair.a.session.handle_timeout(beat);
    assert_eq!(pair.a.session.poll_timeout(), Some(beat));
    assert_eq!(pair.a.session.deadline(), Some(deadline));
    pair.a.session.handle_timeout(deadline);
    assert!(pair.a.session.is_closed());
    assert_eq!(pair.a.session.deadline(), None);
}

#[test]
fn an_orderly_stop_is_said_once() {
    let mut pair = Pair::new(Model::new(1), Model::new(2));
    pair.run().take_trace();
    pair.a.session.close(ByeCode::Busy, 5_000);
    pair.run();
    expect![[r#"
        a Bye Busy
    "#]]
    .assert_eq(&pair.take_trace());
    let end = pair.status().1.end.expect("b was told");
    assert_eq!((end.code, end.retry_after_ms), (ByeCode::Busy, 5_000));
    assert_eq!(pair.b.session.poll_timeout(), None);
}
