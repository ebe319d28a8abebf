//! What is damaged here is asked of peers: once each, whatever they answer.

use std::collections::BTreeSet;

use crate::model::{Model, device, writer_of};
use crate::pair::Pair;

/// Two replicas of one base with some nodes.
fn equals() -> (Model, Model) {
    let mut home = Model::new(2);
    for seed in 10..30 {
        home.key = device(seed);
        home.commit(writer_of(seed), "old", Vec::new(), Vec::new());
    }
    home.key = device(2);
    home.fold();
    home.flush();
    let mut pair = Pair::new(Model::new(1), home);
    pair.run();
    pair.assert_converged();
    (pair.a.model, pair.b.model)
}

#[test]
fn damaged_nodes_are_asked_for_and_brought() {
    let (mut a, b) = equals();
    let lost: BTreeSet<_> = a.node_ids().into_iter().take(3).collect();
    a.lost = lost.clone();
    let mut pair = Pair::new(a, b);
    pair.run();
    assert_eq!(pair.a.model.lost, BTreeSet::new(), "{}", pair.trace);
    pair.wait(120_000);
    assert_eq!(pair.trace.matches("Want").count(), 1, "{}", pair.trace);
}

#[test]
fn who_does_not_have_it_is_asked_once_and_the_talk_goes_on() {
    let (mut a, mut b) = equals();
    a.lost = a.node_ids().into_iter().collect();
    b.forget_nodes();
    let lost = a.lost.clone();
    let mut pair = Pair::new(a, b);
    pair.run();
    pair.wait(600_000);
    assert_eq!(pair.a.model.lost, lost);
    assert_eq!(pair.trace.matches("Want").count(), 1, "{}", pair.trace);
    assert!(!pair.a.session.is_closed() && !pair.b.session.is_closed(), "{}", pair.trace);
    // The next connection asks anew.
    pair.reconnect();
    pair.run();
    assert_eq!(pair.trace.matches("Want").count(), 2, "{}", pair.trace);
}

#[test]
fn a_peer_that_adopts_a_newer_base_is_asked_again() {
    let (mut a, mut b) = equals();
    a.lost = a.node_ids().into_iter().collect();
    b.forget_nodes();
    let mut pair = Pair::new(a, b);
    pair.run();
    assert_eq!(pair.trace.matches("Want").count(), 1, "{}", pair.trace);
    pair.b.model.write("more");
    pair.b.model.flush();
    pair.b.model.fold();
    pair.run();
    assert!(pair.trace.matches("Want").count() > 1, "{}", pair.trace);
}

#[test]
fn a_base_that_waits_until_damage_is_mended_is_taken_up_without_another_offer() {
    let (mut a, mut b) = equals();
    a.lost = a.node_ids().into_iter().take(3).collect();
    b.write("more");
    b.flush();
    b.fold();
    let mut pair = Pair::new(a, b);
    pair.run();
    assert_eq!(pair.a.model.lost, BTreeSet::new(), "{}", pair.trace);
    pair.wait(10_000);
    pair.assert_converged();
    assert_eq!(pair.trace.matches("Handle").count(), 1, "{}", pair.trace);
}
