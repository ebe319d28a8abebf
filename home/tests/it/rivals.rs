//! Two homes of one space, and a registry that loses answers: one Handle per version, and no commit lost.

use std::collections::BTreeSet;

use home::{Error, Members, MemoryRegistry, Mishap, Registry, Verdict};

use crate::world::{Device, Link, NOW, Owner, assert_converged, fingerprint, meet, open_home};

/// A second home of the same space: the first one's folder, copied while it ran, and claimed.
fn rival(owner: &Owner) -> Owner {
    let mut device = Device::open("rival", owner.device.disk.copy(), owner.device.key.clone(), 1);
    let mut registry = owner.registry.clone();
    let mut home = open_home(&mut device, fingerprint("rival"), &mut registry);
    home.claim(&mut device.replica, NOW, Members::AreNotAhead).unwrap();
    Owner { device, home, registry }
}

/// Each version in the registry follows the one before.
fn assert_one_history(registry: &MemoryRegistry, owner: &Owner) {
    let history = registry.history(&owner.device.replica.space());
    for (before, after) in history.iter().zip(&history[1..]) {
        assert_eq!(after.version, before.version + 1);
        assert_eq!(after.prev, before.hash());
    }
}

#[test]
fn of_two_homes_one_wins_each_version_and_no_commit_is_lost() {
    let mut ours = Owner::found();
    let mut theirs = rival(&ours);
    for round in 0..6 {
        ours.device.put(NOW, &format!("ours {round}"), "1");
        theirs.device.put(NOW, &format!("theirs {round}"), "1");
        let (first, second) = match round % 2 {
            0 => (&mut ours, &mut theirs),
            _ => (&mut theirs, &mut ours),
        };
        assert!(first.batch(NOW).is_some());
        // Both made the next version, and one of them was first.
        let lost = second.home.batch(&mut second.device.replica, NOW, &mut second.registry);
        assert!(matches!(lost, Err(Error::Behind { .. })), "{lost:?}");
        meet(NOW, &mut second.device, &mut first.device);
        assert!(second.batch(NOW).is_some(), "what lost is covered by the next one");
        meet(NOW, &mut second.device, &mut first.device);
        assert_converged(&ours.device, &theirs.device);
    }
    for round in 0..6 {
        assert_eq!(ours.device.get(&format!("theirs {round}")).as_deref(), Some("1"));
        assert_eq!(theirs.device.get(&format!("ours {round}")).as_deref(), Some("1"));
    }
    assert_one_history(&ours.registry, &ours);
}

#[test]
fn a_lost_answer_is_read_back() {
    let mut owner = Owner::found();
    owner.device.put(NOW, "a", "1");
    owner.registry.plan(Mishap::LostAnswer);
    assert_eq!(owner.batch(NOW), Some(2));
    assert_eq!((owner.device.version(), owner.device.tail()), (2, 0));
}

#[test]
fn a_swap_in_doubt_is_asked_for_again_with_the_same_handle() {
    for mishap in [Mishap::LostRequest, Mishap::Late(1), Mishap::Late(2), Mishap::Down] {
        let mut owner = Owner::found();
        owner.device.put(NOW, "a", "1");
        owner.registry.plan(mishap);
        let doubt = owner.home.batch(&mut owner.device.replica, NOW, &mut owner.registry);
        assert!(matches!(doubt, Err(Error::InDoubt { .. } | Error::Unavailable)), "{mishap:?}: {doubt:?}");
        assert_eq!(owner.device.version(), 1, "nothing is published that may not be");
        assert_eq!(owner.home.due(NOW, &owner.device.replica), Some(NOW.plus_ms(1000)), "{mishap:?}");
        owner.device.put(NOW, "b", "2");
        owner.device.replica.checkpoint(NOW).unwrap();
        let later = NOW.plus_ms(1000);
        while owner.batch(later).is_some() {}
        assert_eq!((owner.device.tail(), owner.registered()), (0, owner.device.version()), "{mishap:?}");
        assert_one_history(&owner.registry, &owner);
    }
}

#[test]
fn a_handle_in_doubt_is_proposed_again_byte_by_byte() {
    let mut owner = Owner::found();
    owner.device.put(NOW, "a", "1");
    owner.registry.plan(Mishap::LostRequest);
    let first = owner.home.begin(&mut owner.device.replica, NOW).unwrap().unwrap();
    assert_eq!(first.run(&mut owner.registry).unwrap(), Verdict::InDoubt);
    owner.device.put(NOW, "b", "2");
    let second = owner.home.begin(&mut owner.device.replica, NOW.plus_ms(9)).unwrap().unwrap();
    assert_eq!(first.handle(), second.handle());
}

#[test]
fn an_answer_lost_while_the_registry_is_down_is_found_later() {
    let mut owner = Owner::found();
    owner.device.put(NOW, "a", "1");
    owner.registry.plan(Mishap::LostAnswer);
    owner.registry.plan(Mishap::Down);
    let doubt = owner.home.batch(&mut owner.device.replica, NOW, &mut owner.registry);
    assert!(matches!(doubt, Err(Error::InDoubt { version: 2 })), "{doubt:?}");
    assert_eq!(owner.batch(NOW), Some(2));
    assert_eq!(owner.registered(), 2);
}

#[test]
fn a_registry_that_fell_back_gets_its_handle_again() {
    let mut owner = Owner::found();
    owner.device.put(NOW, "a", "1");
    owner.batch(NOW);
    owner.device.put(NOW, "b", "2");
    owner.registry.plan(Mishap::Regress);
    assert_eq!(owner.batch(NOW), Some(3));
    assert_eq!(owner.registered(), 3);
    assert_one_history(&owner.registry, &owner);
}

#[test]
fn a_handle_is_not_made_on_one_that_the_registry_does_not_hold() {
    let mut ours = Owner::found();
    ours.device.put(NOW, "ours", "1");
    let mut theirs = rival(&ours);
    ours.batch(NOW).unwrap();
    theirs.registry.plan(Mishap::Regress);
    theirs.device.put(NOW, "theirs", "1");
    assert_eq!(theirs.batch(NOW), Some(2), "it has never heard of the one that was lost");
    ours.device.put(NOW, "more", "1");
    let alarm = ours.home.batch(&mut ours.device.replica, NOW, &mut ours.registry);
    assert!(matches!(alarm, Err(Error::TwoHandles { version: 2 })), "{alarm:?}");
    assert_eq!(ours.device.get("ours").as_deref(), Some("1"), "nothing is lost by it");
    assert_one_history(&ours.registry, &theirs);
}

#[test]
fn a_copy_that_went_its_own_way_is_an_alarm_and_takes_nothing_from_anybody() {
    let mut ours = Owner::found();
    let mut theirs = rival(&ours);
    // As if each had a registry of its own.
    theirs.registry = MemoryRegistry::new();
    theirs.registry.cas(&theirs.device.replica.space(), 0, theirs.device.replica.base()).unwrap();
    ours.device.put(NOW, "ours", "1");
    ours.batch(NOW).unwrap();
    for n in 0..3 {
        theirs.device.put(NOW, &format!("theirs {n}"), "1");
        theirs.batch(NOW).unwrap();
    }
    let mut link = Link::new(NOW, &ours.device, &theirs.device);
    link.run(NOW, &mut ours.device, &mut theirs.device);
    let errors = link.errors(&ours.device, &theirs.device);
    assert!(errors.iter().any(|error| error.contains("two different handles")), "{errors:?}");
    assert_eq!((ours.device.version(), theirs.device.version()), (2, 4), "each keeps its own");
    assert_eq!(ours.device.get("ours").as_deref(), Some("1"));
}

/// Numbers that look like chance, the same for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// A home may be behind, or not know; it is never wrong.
fn batch_or_wait(owner: &mut Owner) {
    match owner.home.batch(&mut owner.device.replica, NOW, &mut owner.registry) {
        Ok(_) | Err(Error::Unavailable | Error::InDoubt { .. } | Error::Behind { .. }) => {}
        Err(error) => panic!("{error:?}"),
    }
}

/// Two homes and a device, and all that was written.
struct Race {
    /// Each is there but while it starts again.
    homes: [Option<Owner>; 2],
    device: Device,
    written: BTreeSet<String>,
}

impl Race {
    fn begin() -> Race {
        let mut ours = Owner::found();
        let device = ours.join("device");
        let theirs = rival(&ours);
        Race { homes: [Some(ours), Some(theirs)], device, written: BTreeSet::new() }
    }

    fn step(&mut self, chance: &mut Chance, n: usize) {
        let home = usize::try_from(chance.below(2)).unwrap();
        let key = format!("k{n}");
        match chance.below(12) {
            0..3 => {
                self.home(home).device.put(NOW, &key, "v");
                self.written.insert(key);
            }
            3 => {
                self.device.put(NOW, &key, "v");
                self.written.insert(key);
            }
            4..7 => self.batch(home),
            7 => self.meet_homes(),
            8 => self.meet_device(home),
            9 | 10 => {
                let mishaps =
                    [Mishap::Down, Mishap::LostAnswer, Mishap::LostRequest, Mishap::Late(1), Mishap::Late(3)];
                let mishap = mishaps[usize::try_from(chance.below(5)).unwrap()];
                self.home(home).registry.plan(mishap);
            }
            _ => self.crash(home),
        }
    }

    fn batch(&mut self, home: usize) {
        batch_or_wait(self.home(home));
    }

    fn meet_homes(&mut self) {
        let [Some(ours), Some(theirs)] = &mut self.homes else { panic!("both run") };
        meet(NOW, &mut ours.device, &mut theirs.device);
    }

    fn meet_device(&mut self, home: usize) {
        let home = self.homes[home].as_mut().expect("it runs");
        meet(NOW, &mut self.device, &mut home.device);
    }

    fn home(&mut self, home: usize) -> &mut Owner {
        self.homes[home].as_mut().expect("it runs")
    }

    fn crash(&mut self, home: usize) {
        let place = fingerprint(if home == 0 { "folder" } else { "rival" });
        let Owner { device, mut registry, .. } = self.homes[home].take().expect("it runs");
        let mut device = device.crash();
        let role = open_home(&mut device, place, &mut registry);
        self.homes[home] = Some(Owner { device, home: role, registry });
    }

    /// Everybody meets everybody until there is nothing more to say.
    fn settle(&mut self) {
        for _ in 0..12 {
            for home in 0..2 {
                self.batch(home);
                self.meet_device(home);
            }
            self.meet_homes();
        }
    }

    fn check(&self, seed: u64) {
        let [Some(ours), Some(theirs)] = &self.homes else { panic!("both run") };
        assert_converged(&ours.device, &theirs.device);
        assert_converged(&ours.device, &self.device);
        assert_one_history(&ours.registry, ours);
        for key in &self.written {
            assert_eq!(self.device.get(key).as_deref(), Some("v"), "seed {seed}: {key}");
        }
    }
}

#[test]
fn whatever_a_registry_does_but_forget_two_homes_lose_no_commit_and_sign_no_version_twice() {
    for seed in 0..40 {
        let (mut race, mut chance) = (Race::begin(), Chance(seed));
        for n in 0..60 {
            race.step(&mut chance, n);
        }
        race.settle();
        race.check(seed);
    }
}

#[test]
fn a_registry_that_forgets_at_any_time_costs_one_home_nothing() {
    for seed in 0..40 {
        let (mut owner, mut chance) = (Owner::found(), Chance(seed));
        let mut device = owner.join("device");
        for n in 0..40 {
            match chance.below(6) {
                0 | 1 => owner.device.put(NOW, &format!("k{n}"), "v"),
                2 => device.put(NOW, &format!("d{n}"), "v"),
                3 => owner.registry.plan(Mishap::Regress),
                4 => meet(NOW, &mut device, &mut owner.device),
                _ => batch_or_wait(&mut owner),
            }
        }
        for _ in 0..10 {
            meet(NOW, &mut device, &mut owner.device);
            batch_or_wait(&mut owner);
        }
        meet(NOW, &mut device, &mut owner.device);
        assert_converged(&device, &owner.device);
        for n in 0..40 {
            owner.device.put(NOW, &format!("last {n}"), "v");
            batch_or_wait(&mut owner);
        }
        assert_eq!(owner.registered(), owner.device.version(), "seed {seed}");
    }
}
