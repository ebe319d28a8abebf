//! What every registry must do, run against each of them.

use crdt::{Handle, Hlc, SpaceId};
use disk::{Fault, Faults, MemoryDisk, Operation};

use super::{Delivery, MemoryRegistry, Mishap, Outcome, RedbRegistry, Registry, Swap};
use crate::error::Error;

const A: SpaceId = SpaceId([1; 32]);
const B: SpaceId = SpaceId([2; 32]);

/// A Handle told from others of its version by its root.
fn handle(space: SpaceId, version: u64, root: u8) -> Handle {
    Handle {
        space,
        version,
        prev: [0; 32],
        data_root: [root; 32],
        vv_root: [root; 32],
        fold_version: 1,
        gc_epoch: 0,
        ring_n: 0,
        hlc: Hlc(version),
        batch: None,
        signature: [7; 64],
    }
}

/// One that was made on another.
fn after(before: &Handle, root: u8) -> Handle {
    Handle { prev: before.hash(), ..handle(before.space, before.version + 1, root) }
}

fn swap(space: SpaceId, expect: u64, new: Option<Handle>) -> Swap {
    Swap { space, expect, new }
}

fn conflict(space: SpaceId, current: Option<Handle>) -> Outcome {
    Outcome::Conflict { space, current: current.map(Box::new) }
}

/// Every promise of the trait, on a registry that holds nothing yet.
fn conforms(registry: &mut (impl Registry + Clone)) {
    let mut other = registry.clone();
    let first = handle(A, 1, 1);
    let (second, rival) = (after(&first, 2), after(&first, 3));

    assert_eq!(registry.get(&A).unwrap(), None);
    assert_eq!(registry.cas(&A, 1, &second).unwrap(), conflict(A, None), "nothing is there yet");
    assert_eq!(registry.cas(&A, 0, &first).unwrap(), Outcome::Swapped);
    assert_eq!(other.get(&A).unwrap(), Some(first.clone()), "seen by every connection");
    assert_eq!(registry.cas(&A, 0, &first).unwrap(), conflict(A, Some(first.clone())), "not twice");

    assert_eq!(other.cas(&A, 1, &rival).unwrap(), Outcome::Swapped);
    assert_eq!(
        registry.cas(&A, 1, &second).unwrap(),
        conflict(A, Some(rival.clone())),
        "one wins per version"
    );
    assert_eq!(registry.get(&A).unwrap(), Some(rival.clone()));

    let lost = registry.cas(&A, 2, &after(&second, 4)).unwrap();
    assert_eq!(lost, conflict(A, Some(rival.clone())), "not on a Handle that is not there");
    let both = [swap(A, 2, Some(after(&rival, 4))), swap(B, 1, Some(handle(B, 2, 4)))];
    match registry.cas_many(&both).unwrap() {
        Outcome::Unsupported => return,
        outcome => assert_eq!(outcome, conflict(B, None)),
    }
    assert_eq!(registry.get(&A).unwrap(), Some(rival), "all or none");
    let both = [swap(A, 2, None), swap(B, 0, Some(handle(B, 1, 4)))];
    assert_eq!(registry.cas_many(&both).unwrap(), Outcome::Swapped, "a comparison changes nothing");
    assert_eq!(other.get(&B).unwrap(), Some(handle(B, 1, 4)));
    assert_eq!(registry.cas_many(&[swap(A, 1, None)]).unwrap(), conflict(A, other.get(&A).unwrap()));
}

#[test]
fn memory_conforms() {
    conforms(&mut MemoryRegistry::new());
}

#[test]
fn redb_conforms() {
    conforms(&mut RedbRegistry::open(&MemoryDisk::new(1), &[]).unwrap());
    conforms(&mut RedbRegistry::in_memory().unwrap());
}

#[test]
fn memory_that_loses_an_answer_has_the_handle() {
    let mut registry = MemoryRegistry::new();
    registry.plan(Mishap::LostAnswer);
    assert_eq!(registry.cas(&A, 0, &handle(A, 1, 1)).unwrap(), Outcome::Unknown);
    assert_eq!(registry.get(&A).unwrap(), Some(handle(A, 1, 1)));
}

#[test]
fn memory_that_loses_the_request_has_not() {
    let mut registry = MemoryRegistry::new();
    registry.plan(Mishap::LostRequest);
    assert_eq!(registry.cas(&A, 0, &handle(A, 1, 1)).unwrap(), Outcome::Unknown);
    assert_eq!(registry.get(&A).unwrap(), None);
}

#[test]
fn memory_that_is_late_swaps_after_others_have_asked() {
    let mut registry = MemoryRegistry::new();
    registry.plan(Mishap::Late(1));
    assert_eq!(registry.cas(&A, 0, &handle(A, 1, 1)).unwrap(), Outcome::Unknown);
    assert_eq!(registry.get(&A).unwrap(), None);
    assert_eq!(registry.get(&A).unwrap(), Some(handle(A, 1, 1)));
}

#[test]
fn memory_that_is_down_or_regresses_does_so_once() {
    let mut registry = MemoryRegistry::new();
    assert_eq!(registry.cas(&A, 0, &handle(A, 1, 1)).unwrap(), Outcome::Swapped);
    registry.plan(Mishap::Down);
    assert!(matches!(registry.get(&A), Err(Error::Unavailable)));
    assert_eq!(registry.get(&A).unwrap(), Some(handle(A, 1, 1)));
    registry.plan(Mishap::Regress);
    assert_eq!(registry.get(&A).unwrap(), None);
}

#[test]
fn redb_keeps_what_it_answered_over_a_crash() {
    for seed in 0..20 {
        let disk = MemoryDisk::new(seed);
        let mut registry = RedbRegistry::open(&disk, &[]).unwrap();
        let mut newest = handle(A, 1, 1);
        assert_eq!(registry.cas(&A, 0, &newest).unwrap(), Outcome::Swapped);
        for version in 1..3 {
            newest = after(&newest, 1);
            assert_eq!(registry.cas(&A, version, &newest).unwrap(), Outcome::Swapped);
        }
        disk.crash();
        drop(registry);
        let mut registry = RedbRegistry::open(&disk, &[]).unwrap();
        assert_eq!(registry.get(&A).unwrap(), Some(newest), "seed {seed}");
    }
}

#[test]
fn redb_that_crashes_within_a_swap_has_the_old_handle_or_the_new() {
    let old = handle(A, 1, 1);
    let new = after(&old, 2);
    for call in 0.. {
        let disk = MemoryDisk::new(call);
        let mut registry = RedbRegistry::open(&disk, std::slice::from_ref(&old)).unwrap();
        disk.set_faults(Faults::none().nth_call(call, Fault::PowerCut));
        let outcome = registry.cas(&A, 1, &new);
        let is_over = disk.faults_fired() == 0;
        disk.set_faults(Faults::none());
        drop(registry);
        disk.crash();
        let found = RedbRegistry::open(&disk, std::slice::from_ref(&old)).unwrap().get(&A).unwrap();
        if matches!(outcome, Ok(Outcome::Swapped)) {
            assert_eq!(found, Some(new.clone()), "call {call}");
        }
        assert!(found == Some(old.clone()) || found == Some(new.clone()), "call {call}: {found:?}");
        if is_over {
            assert!(call > 2, "the crashes fell within the swap");
            return;
        }
    }
}

#[test]
fn redb_whose_flush_fails_does_not_know() {
    let disk = MemoryDisk::new(3);
    let mut registry = RedbRegistry::open(&disk, &[]).unwrap();
    disk.set_faults(Faults::none().nth(Operation::Flush, 0, Fault::Error));
    assert_eq!(registry.cas(&A, 0, &handle(A, 1, 1)).unwrap(), Outcome::Unknown);
}

#[test]
fn redb_that_will_not_open_is_made_anew_from_the_manifests() {
    let disk = MemoryDisk::new(1);
    let mut registry = RedbRegistry::open(&disk, &[]).unwrap();
    assert_eq!(registry.cas(&A, 0, &handle(A, 1, 1)).unwrap(), Outcome::Swapped);
    drop(registry);
    for bit in 0..8 {
        disk.flip_bit("registry.redb", 3, bit);
    }
    let mut registry = RedbRegistry::open(&disk, &[handle(A, 5, 5)]).unwrap();
    assert_eq!(registry.get(&A).unwrap(), Some(handle(A, 5, 5)));
    assert!(disk::Disk::exists(&disk, "registry.redb.damaged").unwrap());
}

#[test]
fn redb_is_never_behind_a_manifest_and_keeps_what_is_ahead_of_one() {
    let disk = MemoryDisk::new(1);
    drop(RedbRegistry::open(&disk, &[handle(A, 4, 1), handle(B, 4, 1)]).unwrap());
    let mut registry = RedbRegistry::open(&disk, &[handle(A, 5, 2), handle(B, 3, 2)]).unwrap();
    assert_eq!(registry.get(&A).unwrap(), Some(handle(A, 5, 2)));
    assert_eq!(registry.get(&B).unwrap(), Some(handle(B, 4, 1)));
}

#[test]
fn deliveries_come_back_after_a_restart() {
    let disk = MemoryDisk::new(1);
    let delivery =
        |peer: u8, record: &[u8]| Delivery { peer: [peer; 16].into(), space: A, record: record.to_vec() };
    let registry = RedbRegistry::open(&disk, &[]).unwrap();
    registry.put_deliveries(&[delivery(2, b"two"), delivery(1, b"one")]).unwrap();
    registry.put_deliveries(&[delivery(2, b"2")]).unwrap();
    drop(registry);
    disk.crash();
    let registry = RedbRegistry::open(&disk, &[]).unwrap();
    assert_eq!(registry.deliveries().unwrap(), [delivery(1, b"one"), delivery(2, b"2")]);
    assert_eq!(registry.delivery(&[2; 16].into(), &A).unwrap(), Some(b"2".to_vec()));
    assert_eq!(registry.delivery(&[3; 16].into(), &A).unwrap(), None);
}

#[test]
fn redb_with_any_bit_flipped_opens_with_nothing_false_in_it() {
    let disk = MemoryDisk::new(1);
    let truth = handle(A, 4, 1);
    drop(RedbRegistry::open(&disk, std::slice::from_ref(&truth)).unwrap());
    let len = disk.files()["registry.redb"].len() as u64;
    for offset in (0..512).chain((512..len).step_by(1021)) {
        let copy = disk.copy();
        copy.flip_bit("registry.redb", offset, (offset % 8) as u32);
        let mut registry = RedbRegistry::open(&copy, std::slice::from_ref(&truth)).unwrap();
        assert_eq!(registry.get(&A).unwrap(), Some(truth.clone()), "bit {offset}");
    }
}
