//! Random lives of a device that runs twice, of those who meet either of it, and of a home that anchors what it hears
//! first: everybody agrees in the end, and every write is there or in an inbox.

use disk::MemoryDisk;
use proptest::prelude::*;
use sync::Store;

use crate::forks::talk;
use crate::space::{Local, NOW, Space, contents, remove, roots, set};

#[derive(Debug, Clone)]
enum Step {
    Write {
        by: usize,
    },
    /// Takes away a key that it sees.
    Remove {
        by: usize,
        pick: prop::sample::Index,
    },
    Meet {
        one: usize,
        other: usize,
    },
    Anchor,
    Restart {
        who: usize,
        crash: bool,
    },
    Checkpoint {
        who: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = || 0..4_usize;
    let step = prop_oneof![
        6 => who().prop_map(|by| Step::Write { by }),
        1 => (who(), any::<prop::sample::Index>()).prop_map(|(by, pick)| Step::Remove { by, pick }),
        5 => (who(), who()).prop_map(|(one, other)| Step::Meet { one, other }),
        1 => Just(Step::Anchor),
        1 => (who(), any::<bool>()).prop_map(|(who, crash)| Step::Restart { who, crash }),
        1 => who().prop_map(|who| Step::Checkpoint { who }),
    ];
    proptest::collection::vec(step, 1..40)
}

/// The home, the device that runs twice, and another one.
struct World {
    space: Space,
    replicas: Vec<Local>,
    disks: Vec<MemoryDisk>,
    seed: u8,
    written: Vec<String>,
    removed: Vec<String>,
}

impl World {
    const DEVICES: [usize; 4] = [0, 1, 1, 2];

    fn new() -> Self {
        let space = Space::new(3);
        let disks: Vec<MemoryDisk> = (1..=4).map(MemoryDisk::new).collect();
        // The twins have one seed, so they write under one name.
        let replicas = disks.iter().zip(Self::DEVICES).map(|(disk, device)| space.create(device, disk));
        let replicas = replicas.collect();
        Self { space, replicas, disks, seed: 100, written: Vec::new(), removed: Vec::new() }
    }

    fn play(&mut self, step: Step) {
        match step {
            Step::Write { by } => {
                let name = format!("{:03}", self.written.len());
                set(&mut self.replicas[by], &name, &name);
                self.written.push(name);
            }
            Step::Remove { by, pick } => {
                let names: Vec<String> = contents(&self.replicas[by]).into_keys().collect();
                if !names.is_empty() {
                    let name = pick.get(&names);
                    remove(&mut self.replicas[by], name);
                    self.removed.push(name.clone());
                }
            }
            Step::Meet { one, other } => self.meet(one, other),
            Step::Anchor => self.space.anchor(NOW, &mut self.replicas[0]),
            Step::Restart { who, crash } => self.restart(who, crash),
            Step::Checkpoint { who } => self.replicas[who].checkpoint(NOW).expect("it folds"),
        }
    }

    fn meet(&mut self, one: usize, other: usize) {
        if let Ok([one, other]) = self.replicas.get_disjoint_mut([one, other]) {
            talk(one, other);
        }
    }

    fn restart(&mut self, who: usize, crash: bool) {
        let replica = self.replicas.remove(who);
        drop(replica);
        if crash {
            self.disks[who].crash();
        }
        self.seed += 1;
        let again = self.space.open(Self::DEVICES[who], &self.disks[who], self.seed);
        self.replicas.insert(who, again);
    }

    fn settle(&mut self) {
        for _ in 0..3 {
            for (one, other) in [(1, 2), (1, 3), (2, 3), (0, 1), (0, 2), (0, 3)] {
                self.meet(one, other);
            }
            self.space.anchor(NOW, &mut self.replicas[0]);
        }
        (1..4).for_each(|device| self.meet(0, device));
    }

    fn check(&mut self) {
        let expected = roots(&mut self.replicas[0]);
        for (who, replica) in self.replicas.iter_mut().enumerate() {
            assert_eq!(replica.verify().expect("it reads").problems, [""; 0], "{who}");
            assert_eq!(roots(replica), expected, "{who}");
            assert_eq!(replica.tail(), [], "{who}");
        }
        let live = contents(&self.replicas[0]);
        let is_listed = |name: &str| {
            let items = self.replicas.iter().flat_map(|replica| replica.inbox().expect("it reads"));
            let mut named =
                items.filter_map(|item| item.commit).flat_map(|commit| commit.body().mutations.clone());
            named.any(|mutation| mutation.key == crate::space::key(name))
        };
        for name in &self.written {
            let is_kept = live.contains_key(name) || self.removed.contains(name) || is_listed(name);
            assert!(is_kept, "{name} is lost: {live:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn everybody_agrees_and_every_write_is_there_or_in_an_inbox(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.play(step);
        }
        world.settle();
        world.check();
    }
}

/// The lives above must be such that the twins part, and that proof of it takes something away.
#[test]
fn random_lives_fork_and_proofs_drop_what_was_held() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let (mut forked, mut set_aside) = (0, 0);
    for _ in 0..40 {
        let mut world = World::new();
        let steps = steps().new_tree(&mut runner).expect("it draws").current();
        steps.into_iter().for_each(|step| world.play(step));
        world.settle();
        world.check();
        forked += usize::from(!world.replicas[0].evidence().is_empty());
        let listed = world.replicas.iter().map(|replica| replica.inbox().expect("it reads").len());
        set_aside += listed.sum::<usize>();
    }
    assert!(forked > 10 && set_aside > 20, "{forked} of 40 forked, {set_aside} commits were dropped");
}
