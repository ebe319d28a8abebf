//! A data directory: its lock, its device, and every space in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

use crdt::{DeviceKey, Genesis, RingRecord, SpaceId, Time};
use disk::{Disk, MemoryDisk, RealDisk, RealLock};
use home::{Duty, Founding, Home, HomeOptions, RedbRegistry};
use replica::{CreateOptions, Limits, Mode, OpenOptions, Origin, Replica};
use tokio::sync::watch;

use crate::clock;
use crate::config::Settings;
use crate::fingerprint;
use crate::identity::{self, Identity};
use crate::membership::{self, Membership};
use crate::metrics::SpaceMetrics;
use crate::seat::Seat;
use crate::slot::{Live, Owner, Slot, Turn};
use crate::space::{ADDRESSES_NOTE, NAME_NOTE, Space, check_name};

/// What is locked while a data directory is in use.
pub(crate) const LOCK: &str = "LOCK";

/// Where the spaces are in a data directory.
const SPACES: &str = "spaces";

/// Where spaces go that this device left.
const LEFT: &str = "left";

/// Digits of an id that stand for a name where there is none, and that are enough to name a space.
const ID_DIGITS: usize = 8;

/// A data directory in use.
pub struct Spaces {
    data: PathBuf,
    disk: RealDisk,
    identity: Identity,
    settings: Settings,
    mode: Mode,
    registry: RedbRegistry,
    spaces: RwLock<BTreeMap<SpaceId, Arc<Space>>>,
    changed: watch::Sender<u64>,
    lock: Mutex<Option<RealLock>>,
}

/// Why a data directory or a space in it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has it.
    #[error("{data} is in use by another daemon")]
    InUse {
        /// Which directory.
        data: String,
    },
    /// No device here, or none that can be read.
    #[error(transparent)]
    Identity(#[from] identity::Error),
    /// A file.
    #[error("cannot {action} in {data}: {source}")]
    Disk {
        /// What was tried.
        action: &'static str,
        /// Which directory.
        data: String,
        /// What the system answered.
        source: std::io::Error,
    },
    /// The registry.
    #[error("cannot open the registry in {data}: {source}")]
    Registry {
        /// Which directory.
        data: String,
        /// What is wrong.
        source: home::Error,
    },
    /// The directory was opened read-only.
    #[error("the data directory is open read-only")]
    ReadOnly,
    /// Not a name.
    #[error("{reason}")]
    Name {
        /// What is wrong with it.
        reason: String,
    },
    /// Taken.
    #[error("a space named {name} is here already")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// Here already.
    #[error("space {id} is here already, as {name}")]
    Here {
        /// Its id.
        id: SpaceId,
        /// Its name.
        name: String,
    },
    /// It could not be made.
    #[error("cannot make the space: {reason}")]
    Create {
        /// Why.
        reason: String,
    },
}

impl Spaces {
    /// Takes a data directory and opens every space in it. A space that will not open is kept, and says why.
    pub fn open(data: &Path, settings: Settings, mode: Mode) -> Result<Spaces, Error> {
        let shown = || data.display().to_string();
        let identity = Identity::load(data)?;
        let disk = RealDisk::new(data);
        let lock = match mode {
            Mode::ReadOnly => None,
            Mode::ReadWrite => Some(disk.lock(LOCK).map_err(|source| match source.kind() {
                std::io::ErrorKind::WouldBlock => Error::InUse { data: shown() },
                _ => Error::Disk { action: "take the lock", data: shown(), source },
            })?),
        };
        let registry = match mode {
            Mode::ReadWrite => RedbRegistry::open(&disk, &[]),
            // Nothing is homed on read-only media, and what is learned of peers is forgotten.
            Mode::ReadOnly => RedbRegistry::open(&MemoryDisk::new(0), &[]),
        };
        let registry = registry.map_err(|source| Error::Registry { data: shown(), source })?;
        let spaces = Spaces {
            data: data.to_path_buf(),
            disk,
            identity,
            settings,
            mode,
            registry,
            spaces: RwLock::default(),
            changed: watch::Sender::new(0),
            lock: Mutex::new(lock),
        };
        let names = spaces.disk.list(SPACES).map_err(|source| Error::Disk {
            action: "list the spaces",
            data: shown(),
            source,
        })?;
        for id in names.iter().filter_map(|name| name.parse::<SpaceId>().ok()) {
            spaces.open_space(id);
        }
        Ok(spaces)
    }

    /// The directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The device.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The settings it was opened with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether the directory may be written.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Where delivery records are kept.
    pub fn registry(&self) -> &RedbRegistry {
        &self.registry
    }

    /// Counts up whenever a space comes or goes.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Something about a space changed that decides who is talked to.
    pub(crate) fn touch(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// Every space, by id.
    pub fn all(&self) -> Vec<Arc<Space>> {
        self.spaces.read().expect("a map cannot panic").values().cloned().collect()
    }

    /// The space of this id.
    pub fn by_id(&self, id: &SpaceId) -> Option<Arc<Space>> {
        self.spaces.read().expect("a map cannot panic").get(id).cloned()
    }

    /// The space of this local name, id, or start of an id.
    pub fn find(&self, name: &str) -> Option<Arc<Space>> {
        let spaces = self.all();
        if let Some(space) = spaces.iter().find(|space| space.name == name) {
            return Some(space.clone());
        }
        let mut by_id =
            spaces.iter().filter(|space| name.len() >= ID_DIGITS && space.id.to_string().starts_with(name));
        match (by_id.next(), by_id.next()) {
            (Some(space), None) => Some(space.clone()),
            _ => None,
        }
    }

    /// Makes a space that is homed here.
    pub fn create(&self, name: &str) -> Result<Arc<Space>, Error> {
        self.check_free(name)?;
        let now = clock::now();
        let key = self.identity.key();
        let founding = Founding { device: &key, seed: clock::seed(), now, collections: &[] };
        let founded = home::found(&self.disk, &founding).map_err(|error| create(&error))?;
        let genesis = founded.genesis.clone();
        self.make(name, genesis, Vec::new(), founded.into(), &[])
    }

    /// Makes the replica of a space that this device was admitted to.
    pub fn join(
        &self,
        name: Option<&str>,
        genesis: Genesis,
        ring: Vec<RingRecord>,
        addresses: &[String],
    ) -> Result<Arc<Space>, Error> {
        let id = genesis.space();
        if let Some(space) = self.by_id(&id) {
            return Err(Error::Here { id, name: space.name.clone() });
        }
        let short = id.to_string()[..ID_DIGITS].to_string();
        let name = name.unwrap_or(&short);
        self.check_free(name)?;
        self.make(name, genesis, ring, Origin::Joined, addresses)
    }

    /// This name, or one like it that no space here has; nothing if it cannot be a name.
    pub fn free_name(&self, wish: &str) -> Option<String> {
        if check_name(wish).is_err() {
            return None;
        }
        std::iter::once(wish.to_string())
            .chain((2..).map(|number| format!("{wish}-{number}")))
            .find(|name| self.find(name).is_none())
    }

    /// Closes a space and sets its folder aside: nothing is deleted.
    pub async fn set_aside(&self, space: &Space) -> Result<(), Error> {
        space.slot.close().await;
        self.spaces.write().expect("a map cannot panic").remove(&space.id);
        let disk = |source| Error::Disk {
            action: "set the space aside",
            data: self.data.display().to_string(),
            source,
        };
        self.disk.create_dir(LEFT).map_err(disk)?;
        let aside = format!("{LEFT}/{}-{}", space.id, clock::now().0);
        self.disk.rename(&folder(&space.id), &aside).map_err(disk)?;
        self.disk.flush_dir(SPACES).and_then(|()| self.disk.flush_dir(LEFT)).map_err(disk)?;
        self.changed.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Closes every space: flushed, checkpointed, sessions ended.
    pub async fn close(&self) {
        for space in self.all() {
            space.slot.close().await;
        }
    }

    /// The same for a caller with a thread of its own.
    pub fn close_blocking(&self) {
        for space in self.all() {
            space.slot.close_blocking();
        }
    }

    /// Gives the directory back, after everything in it is closed.
    pub(crate) fn release(&self) {
        drop(self.lock.lock().expect("holding a lock cannot panic").take());
    }

    fn check_free(&self, name: &str) -> Result<(), Error> {
        if self.mode == Mode::ReadOnly {
            return Err(Error::ReadOnly);
        }
        check_name(name).map_err(|reason| Error::Name { reason })?;
        match self.all().iter().any(|space| space.name == name) {
            true => Err(Error::NameTaken { name: name.to_string() }),
            false => Ok(()),
        }
    }

    fn make(
        &self,
        name: &str,
        genesis: Genesis,
        ring: Vec<RingRecord>,
        origin: Origin,
        addresses: &[String],
    ) -> Result<Arc<Space>, Error> {
        let id = genesis.space();
        let disk = self.disk.within(&folder(&id));
        disk.create_dir("").map_err(|source| Error::Create { reason: source.to_string() })?;
        let options = CreateOptions {
            genesis,
            ring,
            device: self.identity.key(),
            origin,
            seed: clock::seed(),
            now: clock::now(),
            limits: limits(&self.settings),
        };
        let mut replica = Replica::create(disk, options).map_err(|error| create(&error))?;
        let noted = replica
            .note(NAME_NOTE, name.as_bytes())
            .and_then(|()| replica.note(ADDRESSES_NOTE, addresses.join("\n").as_bytes()))
            .and_then(|()| replica.flush());
        noted.map_err(|error| create(&error))?;
        drop(replica);
        let space = self.open_space(id);
        self.changed.send_modify(|count| *count += 1);
        Ok(space)
    }

    fn open_space(&self, id: SpaceId) -> Arc<Space> {
        let metrics: Arc<SpaceMetrics> = Arc::default();
        let seat = Arc::new(Seat::new(self.changed.clone()));
        let owner = Owner::new(self.opener(id), clock::now(), metrics.clone(), seat.clone());
        let slot = Slot::new(owner, self.settings.wal.fsync);
        let about = slot.call_blocking(0, |owner, _| {
            Turn::Done(owner.live().map(|live| {
                let text = |key| live.replica.notes(key).and_then(|note| String::from_utf8(note).ok());
                let place = Membership::decode(live.replica.notes(membership::NOTE).as_deref());
                (text(NAME_NOTE), text(ADDRESSES_NOTE), place)
            }))
        });
        let (name, addresses, place) = match about {
            Ok((name, addresses, place)) => (name, addresses.unwrap_or_default(), place),
            Err(error) => {
                tracing::error!(space = %id, %error, "space not opened");
                (None, String::new(), Membership::default())
            }
        };
        let name = name.unwrap_or_else(|| id.to_string()[..ID_DIGITS].to_string());
        let addresses = addresses.lines().map(str::to_string).collect();
        let space = Arc::new(Space::new(id, name, seat, addresses, place, slot, metrics));
        self.spaces.write().expect("a map cannot panic").insert(id, space.clone());
        space
    }

    /// How the space is opened: now, and again when its disk failed.
    fn opener(&self, id: SpaceId) -> Box<dyn Fn(Time) -> Result<Live<RealDisk>, String> + Send> {
        let disk = self.disk.within(&folder(&id));
        let path = self.data.join(folder(&id));
        let (key, mode, limits) = (self.identity.key(), self.mode, limits(&self.settings));
        let registry = self.registry.clone();
        Box::new(move |now| {
            open_live(&disk, &path, &key, mode, limits, registry.clone(), now)
                .map_err(|error| crate::slot::with_causes(&*error))
        })
    }
}

fn open_live(
    disk: &RealDisk,
    path: &Path,
    key: &DeviceKey,
    mode: Mode,
    limits: Limits,
    mut registry: RedbRegistry,
    now: Time,
) -> Result<Live<RealDisk>, Box<dyn std::error::Error>> {
    let options = OpenOptions { device: key.clone(), seed: clock::seed(), now, limits, mode };
    let (mut replica, opened) = Replica::open(disk.clone(), options)?;
    if let Some(cut) = &opened.cut {
        tracing::info!(path = %path.display(), ?cut, "a torn tail was cut: nothing of it was acknowledged");
    }
    if opened.undone {
        tracing::info!(path = %path.display(), "a rebuild that a crash cut short was undone: it is made again");
    }
    if opened.unsealed > 0 {
        let commits = opened.unsealed;
        tracing::info!(path = %path.display(), commits, "received commits that a crash cut short were dropped: they come again");
    }
    if mode == Mode::ReadOnly || replica.is_unread() {
        return Ok(Live { replica, home: None, registry });
    }
    let fingerprint = fingerprint::of(path)?;
    replica.name_folder(fingerprint.0)?;
    let options = HomeOptions { key: key.clone(), seed: clock::seed(), fingerprint };
    let home = Home::open(options, &mut replica, now, &mut registry)?;
    match home.duty() {
        Duty::NotHome | Duty::On => {}
        Duty::Copied => tracing::warn!(
            path = %path.display(),
            "the folder was copied or moved: home duties are off until `strandline space claim`"
        ),
    }
    Ok(Live { replica, home: Some(home), registry })
}

fn limits(settings: &Settings) -> Limits {
    let mut limits = Limits { outbox_bytes: settings.outbox.max_bytes.0, ..Limits::default() };
    if let Some(memory) = settings.limits.memory {
        let quarter = usize::try_from(memory.0 / 4).unwrap_or(usize::MAX);
        limits.overlay_bytes = limits.overlay_bytes.min(quarter);
    }
    limits
}

pub(crate) fn folder(id: &SpaceId) -> String {
    format!("{SPACES}/{id}")
}

fn create(error: &(dyn std::error::Error + 'static)) -> Error {
    Error::Create { reason: crate::slot::with_causes(error) }
}
