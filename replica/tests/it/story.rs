//! A story of three replicas: what each adds, removes and learns; in the end they are merged in every order.
//!
//! A set is its elements' names, a map's field is the names that begin with it; adding is a put, removing takes away what
//! was seen. Each story is played with tails alone, and with a home that folds at every step: there it is the adopted
//! tree that must not bring back what was removed.

use std::collections::BTreeSet;

use crdt::Class;
use disk::MemoryDisk;
use replica::Roots;

use crate::space::{Local, NOW, Space, coll, contents, deliver, key, roots};

pub(crate) const A: usize = 0;
pub(crate) const B: usize = 1;
pub(crate) const C: usize = 2;
/// The device that merges.
const FRESH: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Home {
    Nobody,
    /// The first replica, after whatever happens to it.
    First,
}

pub(crate) struct Story {
    space: Space,
    home: Home,
    pub(crate) replicas: Vec<Local>,
}

impl Story {
    /// One commit that adds these names.
    pub(crate) fn add(&mut self, who: usize, names: &[&str]) {
        self.commit(who, names, &[]);
    }

    /// One commit that removes these names, as far as they are seen there.
    pub(crate) fn remove(&mut self, who: usize, names: &[&str]) {
        self.commit(who, &[], names);
    }

    /// One commit that removes whatever is seen of a field.
    pub(crate) fn remove_field(&mut self, who: usize, field: &str) {
        let names: Vec<String> = contents(&self.replicas[who]).into_keys().collect();
        let of_field: Vec<&str> =
            names.iter().map(String::as_str).filter(|name| name.starts_with(field)).collect();
        self.remove(who, &of_field);
    }

    fn commit(&mut self, who: usize, added: &[&str], removed: &[&str]) {
        let replica = &mut self.replicas[who];
        let mut transaction = replica.begin();
        for name in added {
            transaction.put(coll(), &key(name), &[who as u8]).unwrap();
        }
        for name in removed {
            transaction.delete(coll(), &key(name)).unwrap();
        }
        replica.commit(NOW, transaction, Class::Normal).unwrap();
        replica.flush().unwrap();
        self.fold(who);
    }

    /// One replica learns all that another one holds.
    pub(crate) fn merge(&mut self, from: usize, to: usize) {
        let [source, target] = self.replicas.get_disjoint_mut([from, to]).unwrap();
        deliver(NOW, source, target);
        self.fold(to);
    }

    fn fold(&mut self, who: usize) {
        if self.home == Home::First && who == A {
            self.space.anchor(NOW, &mut self.replicas[A]);
        }
    }

    pub(crate) fn value(&self, who: usize) -> BTreeSet<String> {
        contents(&self.replicas[who]).into_keys().collect()
    }

    /// What a fresh replica holds that learns from these in this order.
    fn merged(&mut self, order: &[usize]) -> (BTreeSet<String>, Roots) {
        let mut fresh = self.space.create(FRESH, &MemoryDisk::new(9));
        for who in order {
            deliver(NOW, &mut self.replicas[*who], &mut fresh);
        }
        (contents(&fresh).into_keys().collect(), roots(&mut fresh))
    }
}

/// Plays a story; in the end all three hold these names, in whatever order they are merged.
pub(crate) fn check(story: impl Fn(&mut Story), expected: &[&str]) {
    for home in [Home::Nobody, Home::First] {
        let space = Space::new(4);
        let replicas = (0..3).map(|n| space.create(n, &MemoryDisk::new(n as u64))).collect();
        let mut played = Story { space, home, replicas };
        story(&mut played);
        let first = played.merged(&[A, B, C]);
        assert_eq!(first.0, names(expected), "{home:?}");
        for order in [[A, C, B], [B, A, C], [B, C, A], [C, A, B], [C, B, A]] {
            assert_eq!(played.merged(&order), first, "{home:?}, {order:?}");
        }
    }
}

pub(crate) fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
