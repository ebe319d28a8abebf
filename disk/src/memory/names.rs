//! The names of a disk: what everybody sees, and what a crash may leave of them.

use std::collections::{BTreeMap, BTreeSet};

use crate::random::Random;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Dir,
    File(u64),
}

/// All names of a disk, by path; the durable ones and the changes since beside the visible ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    visible: BTreeMap<String, Node>,
    durable: BTreeMap<String, Node>,
    /// Changes not yet durable, oldest first.
    journal: Vec<Change>,
}

/// One change of names, which a crash keeps whole or not at all.
#[derive(Clone, Debug)]
struct Change {
    names: Vec<(String, Option<Node>)>,
    /// Folders still to be flushed before the change is durable.
    dirs: BTreeSet<String>,
}

/// The folder part of a path; `""` for a name at the top.
pub(crate) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

impl Names {
    pub(crate) fn get(&self, path: &str) -> Option<Node> {
        if path.is_empty() { Some(Node::Dir) } else { self.visible.get(path).copied() }
    }

    /// The last parts of the names directly in `dir`, sorted.
    pub(crate) fn list(&self, dir: &str) -> Vec<String> {
        let inside = self.visible.keys().filter(|path| parent(path) == dir);
        inside.map(|path| path[dir.len()..].trim_start_matches('/').to_owned()).collect()
    }

    /// All files, by path.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&String, u64)> {
        self.visible.iter().filter_map(|(path, node)| match node {
            Node::File(id) => Some((path, *id)),
            Node::Dir => None,
        })
    }

    /// Makes, replaces or removes names in one step.
    pub(crate) fn change(&mut self, names: Vec<(String, Option<Node>)>) {
        let dirs = names.iter().map(|(path, _)| parent(path).to_owned()).collect();
        apply(&mut self.visible, &names);
        self.journal.push(Change { names, dirs });
    }

    /// Makes a folder that is durable at once.
    pub(crate) fn create_dir(&mut self, path: &str) {
        self.visible.insert(path.to_owned(), Node::Dir);
        self.durable.insert(path.to_owned(), Node::Dir);
    }

    pub(crate) fn flush(&mut self, dir: &str) {
        let durable = &mut self.durable;
        self.journal.retain_mut(|change| {
            change.dirs.remove(dir);
            if change.dirs.is_empty() {
                apply(durable, &change.names);
            }
            !change.dirs.is_empty()
        });
    }

    /// A crash: of the changes not yet durable, a prefix or any subset happened.
    pub(crate) fn crash(&mut self, random: &mut Random) {
        let journal = std::mem::take(&mut self.journal);
        let prefix = random.below(journal.len() as u64 + 1) as usize;
        let in_order = random.coin();
        for (index, change) in journal.iter().enumerate() {
            if if in_order { index < prefix } else { random.coin() } {
                apply(&mut self.durable, &change.names);
            }
        }
        self.visible = self.durable.clone();
    }

    /// Forgets the difference between visible and durable, as after a clean shutdown.
    pub(crate) fn settle(&mut self) {
        self.journal.clear();
        self.durable = self.visible.clone();
    }

    /// The files that some name stands for, or may stand for after a crash.
    pub(crate) fn reachable(&self) -> BTreeSet<u64> {
        let now = self.visible.values().chain(self.durable.values()).copied();
        let later = self.journal.iter().flat_map(|change| &change.names).filter_map(|(_, node)| *node);
        now.chain(later).filter_map(|node| if let Node::File(id) = node { Some(id) } else { None }).collect()
    }
}

fn apply(target: &mut BTreeMap<String, Node>, names: &[(String, Option<Node>)]) {
    for (path, node) in names {
        match node {
            Some(node) => target.insert(path.clone(), *node),
            None => target.remove(path),
        };
    }
}
