//! A disk in memory: a crash forgets what was not flushed, and calls fail when told to.
//!
//! It is a model of the worst a disk may do, not of one file system; every choice comes from its seed.
#![expect(
    clippy::disallowed_types,
    reason = "readers and the writer of a replica share a disk across threads"
)]

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::Disk;
use crate::faults::{Fault, Faults, Operation};
use crate::random::Random;

mod contents;
mod file;
mod names;

use contents::{Contents, Survival};
use file::Access;
pub use file::MemoryFile;
use names::{Names, Node, parent};

/// A folder in memory. A clone is another handle on the same folder.
#[derive(Clone, Debug)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
    /// Empty, or the folder all names are taken below.
    prefix: String,
}

/// A lock on a [`MemoryDisk`], given back when dropped or when the disk crashes.
#[derive(Debug)]
pub struct MemoryLock {
    state: Arc<Mutex<State>>,
    path: String,
    life: u64,
}

/// What a disk was asked to do so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Calls that can fail, failed ones included.
    pub calls: u64,
    /// Flushes of files.
    pub flushes: u64,
    /// Flushes of folders.
    pub dir_flushes: u64,
    /// Calls of [`crate::File::write_at`].
    pub writes: u64,
    /// Bytes those took.
    pub bytes_written: u64,
    /// Bytes read.
    pub bytes_read: u64,
}

#[derive(Debug)]
struct State {
    random: Random,
    names: Names,
    files: BTreeMap<u64, Inode>,
    file_next: u64,
    /// Counts crashes: what was opened in an earlier life is dead.
    life: u64,
    /// Locks held, with the life of their holder.
    locks: BTreeMap<String, u64>,
    faults: Faults,
    counters: Counters,
    capacity: Option<u64>,
    power: Power,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Power {
    On,
    Off,
}

#[derive(Debug, Default)]
struct Inode {
    contents: Contents,
    open: Arc<()>,
}

impl MemoryDisk {
    /// An empty folder whose crashes and faults `seed` decides.
    pub fn new(seed: u64) -> MemoryDisk {
        let state = State {
            random: Random::new(seed),
            names: Names::default(),
            files: BTreeMap::new(),
            file_next: 0,
            life: 0,
            locks: BTreeMap::new(),
            faults: Faults::none(),
            counters: Counters::default(),
            capacity: None,
            power: Power::On,
        };
        MemoryDisk { state: Arc::new(Mutex::new(state)), prefix: String::new() }
    }

    /// Cuts the power and brings it back: what was not flushed survives in any part, open files and locks
    /// die.
    pub fn crash(&self) {
        self.state().crash();
    }

    /// Kills the process but not the machine: open files and locks die, and the cache stays as it is.
    pub fn kill(&self) {
        self.state().end_life();
    }

    /// From now on calls go wrong as planned; an earlier plan is dropped.
    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// The plan as it stands, so that it can be put back after a look that nothing should disturb.
    pub fn faults(&self) -> Faults {
        self.state().faults.clone()
    }

    /// How often the plan of now made something go wrong.
    pub fn faults_fired(&self) -> u64 {
        self.state().faults.fired()
    }

    /// Lets the files together have so many bytes and no more; `None` for no limit.
    pub fn set_capacity(&self, capacity: Option<u64>) {
        self.state().capacity = capacity;
    }

    /// Bytes all files have together.
    pub fn used(&self) -> u64 {
        self.state().used()
    }

    /// What was asked of the disk so far.
    pub fn counters(&self) -> Counters {
        self.state().counters
    }

    /// Flips one bit of a file at rest, in the cache and on the disk.
    ///
    /// # Panics
    ///
    /// When there is no such file, or no such byte in it.
    pub fn flip_bit(&self, name: &str, offset: u64, bit: u32) {
        let path = self.path(name);
        let mut state = self.state();
        let inode = state.named_mut(&path).expect("the test names a file that is there");
        inode.contents.flip_bit(offset as usize, bit);
    }

    /// Makes the sector that holds `offset` fail every read until it is written again.
    ///
    /// # Panics
    ///
    /// When there is no such file.
    pub fn damage_sector(&self, name: &str, offset: u64) {
        let path = self.path(name);
        let mut state = self.state();
        let inode = state.named_mut(&path).expect("the test names a file that is there");
        inode.contents.make_unreadable(offset as usize);
    }

    /// What `cp -r` of the folder gives now: a disk of its own that holds what the cache shows, all of it
    /// durable.
    pub fn copy(&self) -> MemoryDisk {
        let mut state = self.state();
        let copy = MemoryDisk::new(state.random.next());
        {
            let mut target = copy.state();
            target.names = state.names.clone();
            target.names.settle();
            target.file_next = state.file_next;
            for (_, id) in state.names.files() {
                let contents = state.files[&id].contents.settled();
                target.files.insert(id, Inode { contents, open: Arc::new(()) });
            }
        }
        MemoryDisk { prefix: self.prefix.clone(), ..copy }
    }

    /// All files as the cache shows them, by name, the folder's own part of it included.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.state();
        let files = state.names.files();
        files.map(|(path, id)| (path.clone(), state.files[&id].contents.to_vec())).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn path(&self, name: &str) -> String {
        let parts = || name.split('/');
        assert!(
            name.is_empty() || parts().all(|part| !matches!(part, "" | "." | "..")),
            "{name:?} is not a name below the folder"
        );
        match (self.prefix.is_empty(), name.is_empty()) {
            (true, _) => name.to_owned(),
            (false, true) => self.prefix.clone(),
            (false, false) => format!("{}/{name}", self.prefix),
        }
    }

    fn file(&self, state: &State, id: u64, access: Access) -> MemoryFile {
        let open = state.files[&id].open.clone();
        MemoryFile { state: self.state.clone(), id, life: state.life, access, open }
    }

    fn open_as(&self, name: &str, access: Access) -> io::Result<MemoryFile> {
        let path = self.path(name);
        let mut state = self.state();
        state.begin(Operation::Open)?;
        match state.names.get(&path) {
            Some(Node::File(id)) => Ok(self.file(&state, id, access)),
            Some(Node::Dir) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no call panics while it holds the disk")
}

/// An error as a broken device gives it.
fn device_error() -> io::Error {
    io::Error::other("the device failed, as planned")
}

impl State {
    /// Counts a call and lets the plan decide; faults that do not concern this kind of call are returned.
    fn begin(&mut self, operation: Operation) -> io::Result<Option<Fault>> {
        self.counters.calls += 1;
        if self.power == Power::Off {
            return Err(io::Error::other("the power is off"));
        }
        let fault = self.faults.next(operation, &mut self.random);
        let opens = matches!(operation, Operation::Create | Operation::Open | Operation::Lock);
        let has_parts = matches!(operation, Operation::Write | Operation::Flush);
        match fault {
            Some(Fault::PowerCut) => {
                self.power = Power::Off;
                // A write or flush under way may have got anywhere.
                if has_parts { Ok(fault) } else { Err(device_error()) }
            }
            Some(Fault::Error) if !has_parts => Err(device_error()),
            Some(Fault::TooManyFiles) if opens => Err(io::Error::other("too many open files, as planned")),
            Some(Fault::NoSpace) if matches!(operation, Operation::SetLen | Operation::Create) => {
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(fault),
        }
    }

    fn named_mut(&mut self, path: &str) -> Option<&mut Inode> {
        match self.names.get(path)? {
            Node::File(id) => self.files.get_mut(&id),
            Node::Dir => None,
        }
    }

    fn used(&self) -> u64 {
        self.files.values().map(|inode| inode.contents.len() as u64).sum()
    }

    /// How far `id` may grow from now.
    fn room(&self) -> u64 {
        self.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used()))
    }

    fn crash(&mut self) {
        self.names.crash(&mut self.random);
        self.end_life();
        for inode in self.files.values_mut() {
            let survival = Survival::choose(&inode.contents, &mut self.random);
            inode.contents = inode.contents.crash(survival, &mut self.random);
        }
        self.power = Power::On;
    }

    fn end_life(&mut self) {
        self.life += 1;
        self.locks.clear();
        self.collect();
    }

    /// Forgets files that no name and no open handle of this life can reach.
    fn collect(&mut self) {
        let reachable = self.names.reachable();
        self.files.retain(|id, inode| reachable.contains(id) || Arc::strong_count(&inode.open) > 1);
    }

    fn check_parent(&self, path: &str) -> io::Result<()> {
        match self.names.get(parent(path)) {
            Some(Node::Dir) => Ok(()),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl Disk for MemoryDisk {
    type File = MemoryFile;
    type Lock = MemoryLock;

    fn create(&self, name: &str) -> io::Result<MemoryFile> {
        let path = self.path(name);
        let mut state = self.state();
        state.begin(Operation::Create)?;
        state.check_parent(&path)?;
        if state.names.get(&path).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = state.file_next;
        state.file_next += 1;
        state.files.insert(id, Inode { contents: Contents::empty(), open: Arc::new(()) });
        state.names.change(vec![(path, Some(Node::File(id)))]);
        Ok(self.file(&state, id, Access::ReadWrite))
    }

    fn open(&self, name: &str) -> io::Result<MemoryFile> {
        self.open_as(name, Access::ReadWrite)
    }

    fn open_read(&self, name: &str) -> io::Result<MemoryFile> {
        self.open_as(name, Access::Read)
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let path = self.path(dir);
        let mut state = self.state();
        state.begin(Operation::List)?;
        Ok(state.names.list(&path))
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        let path = self.path(dir);
        let mut state = self.state();
        state.begin(Operation::CreateDir)?;
        let ends = path.match_indices('/').map(|(index, _)| index).chain([path.len()]);
        for dir in ends.map(|end| &path[..end]) {
            match state.names.get(dir) {
                Some(Node::Dir) => {}
                Some(Node::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
                None => state.names.create_dir(dir),
            }
        }
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.path(from), self.path(to));
        let mut state = self.state();
        state.begin(Operation::Rename)?;
        state.check_parent(&to)?;
        match (state.names.get(&from), state.names.get(&to)) {
            (Some(Node::Dir), _) | (_, Some(Node::Dir)) => return Err(io::ErrorKind::IsADirectory.into()),
            (None, _) => return Err(io::ErrorKind::NotFound.into()),
            (Some(node), _) if from != to => state.names.change(vec![(from, None), (to, Some(node))]),
            _ => {}
        }
        state.collect();
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let path = self.path(name);
        let mut state = self.state();
        state.begin(Operation::Remove)?;
        match state.names.get(&path) {
            Some(Node::File(_)) => state.names.change(vec![(path, None)]),
            Some(Node::Dir) => return Err(io::ErrorKind::IsADirectory.into()),
            None => return Err(io::ErrorKind::NotFound.into()),
        }
        state.collect();
        Ok(())
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        let path = self.path(name);
        let mut state = self.state();
        state.begin(Operation::List)?;
        Ok(state.names.get(&path).is_some())
    }

    fn flush_dir(&self, dir: &str) -> io::Result<()> {
        let path = self.path(dir);
        let mut state = self.state();
        state.counters.dir_flushes += 1;
        state.begin(Operation::FlushDir)?;
        if state.names.get(&path) != Some(Node::Dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.names.flush(&path);
        state.collect();
        Ok(())
    }

    fn lock(&self, name: &str) -> io::Result<MemoryLock> {
        let path = self.path(name);
        let mut state = self.state();
        state.begin(Operation::Lock)?;
        state.check_parent(&path)?;
        if state.locks.contains_key(&path) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if state.names.get(&path).is_none() {
            let id = state.file_next;
            state.file_next += 1;
            state.files.insert(id, Inode::default());
            state.names.change(vec![(path.clone(), Some(Node::File(id)))]);
        }
        let life = state.life;
        state.locks.insert(path.clone(), life);
        Ok(MemoryLock { state: self.state.clone(), path, life })
    }

    fn within(&self, dir: &str) -> MemoryDisk {
        MemoryDisk { state: self.state.clone(), prefix: self.path(dir) }
    }
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        if state.locks.get(&self.path) == Some(&self.life) {
            state.locks.remove(&self.path);
        }
    }
}
