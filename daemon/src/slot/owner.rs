//! The owner of one space: its replica, its home if it is one, its sessions, and who waits for what.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Instant;

use crdt::{DeviceId, Dot, Handle, Time, WriterId};
use disk::Disk;
use home::{Duty, Home, Members, RedbRegistry};
use replica::{Description, Replica, Snapshot};
use sync::{ByeCode, Store};
use tokio::sync::oneshot;

use super::proposals::Proposals;
use super::sessions::Sessions;
use super::upkeep::Upkeep;
use super::waits::{Level, Waits};
use super::{Error, SessionId, Slot};
use crate::config::Fsync;
use crate::membership::{self, Membership};
use crate::metrics::SpaceMetrics;
use crate::seat::Seat;

/// How soon a space that would not open is tried again: at first, and twice as long after each failure up to this.
const REOPEN_MS: u64 = 250;
const REOPEN_MAX_MS: u64 = 8_000;

/// Commits whose way to the Handle is timed at once.
const CONVERGING_MAX: usize = 1_024;

/// A space that is open.
pub struct Live<D: Disk> {
    /// The copy of the space.
    pub replica: Replica<D>,
    /// The role, where the home key is here.
    pub home: Option<Home>,
    /// Where the home moves the Handle.
    pub registry: RedbRegistry,
}

impl<D: Disk> Live<D> {
    /// Has the home here decide something, and makes the next Handle; none where the registry does not answer: what was
    /// decided is durable here already, and in the Handle after it.
    pub fn decide<T>(
        &mut self,
        now: Time,
        what: impl FnOnce(&mut Home, &mut Replica<D>) -> Result<T, home::Error>,
    ) -> Result<Option<Handle>, Error> {
        let home = self.home.as_mut().ok_or(Error::NotHome)?;
        what(home, &mut self.replica)?;
        Ok(home.batch(&mut self.replica, now, &mut self.registry).ok().flatten())
    }
}

/// Opens the space: at start, and again after its disk failed.
pub type Opener<D> = Box<dyn Fn(Time) -> Result<Live<D>, String> + Send>;

/// Everything of one space that one at a time may touch.
pub struct Owner<D: Disk> {
    open: Opener<D>,
    pub(super) live: Option<Live<D>>,
    /// Why it is not live, and when that is tried again.
    broken: Option<(String, Time)>,
    /// How long it waits after the next failure to open.
    reopen_ms: u64,
    pub(super) sessions: Sessions,
    pub(super) proposals: Proposals,
    /// This device's place in the space, as its note says.
    place: Membership,
    pub(super) waits: Waits,
    pub(super) upkeep: Upkeep,
    pub(super) slot: Weak<Slot<D>>,
    pub(super) fsync: Fsync,
    pub(super) metrics: Arc<SpaceMetrics>,
    seat: Arc<Seat>,
    /// Version and ring that the seat was last told of.
    seated: Option<(u64, u64)>,
    /// Commits made here that no Handle covers yet, and when they were made; the newest are enough for a figure.
    converging: VecDeque<(Dot, Time)>,
    is_flush_asked: bool,
    /// How often it was opened: numbers of changes begin anew each time.
    opens: u64,
}

/// What an owner says of itself.
pub struct Report {
    /// The replica in numbers.
    pub description: Description,
    /// Each session.
    pub sessions: Vec<(SessionId, sync::Status)>,
    /// What no Handle covers here: each writer, its last commit, and the last of its commits that the base covers.
    pub tail: Vec<(WriterId, u64, u64)>,
    /// What keeps it from its work: a home that is off duty, or what went wrong in the background and is tried again.
    pub trouble: Option<String>,
}

impl<D: Disk> Owner<D> {
    /// An owner that opens its space now. If that fails, it tries again later and says why until then.
    pub fn new(open: Opener<D>, now: Time, metrics: Arc<SpaceMetrics>, seat: Arc<Seat>) -> Owner<D> {
        let mut owner = Owner {
            open,
            live: None,
            broken: None,
            reopen_ms: REOPEN_MS,
            sessions: Sessions::default(),
            proposals: Proposals::default(),
            place: Membership::default(),
            waits: Waits::default(),
            upkeep: Upkeep::default(),
            slot: Weak::new(),
            fsync: Fsync::Always,
            metrics,
            seat,
            seated: None,
            converging: VecDeque::new(),
            is_flush_asked: false,
            opens: 0,
        };
        owner.reopen(now);
        owner
    }

    pub(super) fn belongs_to(mut self, slot: Weak<Slot<D>>, fsync: Fsync) -> Owner<D> {
        self.slot = slot;
        self.fsync = fsync;
        self
    }

    /// The open space, or why there is none.
    pub fn live(&mut self) -> Result<&mut Live<D>, Error> {
        match (&mut self.live, &self.broken) {
            (Some(live), _) => Ok(live),
            (None, Some((reason, _))) => Err(Error::Unavailable { reason: reason.clone() }),
            (None, None) => Err(Error::Closed),
        }
    }

    /// How often the space was opened: what counts from its opening is comparable only under one of these.
    pub fn opens(&self) -> u64 {
        self.opens
    }

    /// The open space, for a write: one that this device leaves or has left takes none, since nobody would get it.
    pub fn live_to_write(&mut self) -> Result<&mut Live<D>, Error> {
        match self.place {
            Membership::Member | Membership::Revoked => self.live(),
            place => Err(Error::NotMember { place }),
        }
    }

    /// Remembers this device's place in the space. Who is out has nothing more to say to anybody.
    pub(crate) fn set_place(&mut self, place: Membership) -> Result<(), Error> {
        self.live()?.replica.note(membership::NOTE, &place.encode())?;
        self.place = place;
        if !place.syncs() {
            self.sessions.hang_up();
        }
        self.must_flush()
    }

    /// The whole owner in numbers.
    pub fn report(&mut self) -> Result<Report, Error> {
        self.live()?;
        let live = self.live.as_mut().expect("live was just asked for");
        Ok(Report {
            description: live.replica.describe(),
            sessions: self.sessions.report(&live.replica),
            tail: tail(&live.replica),
            trouble: off_duty(live)
                .or_else(|| unheard(live))
                .map(|error| error.to_string())
                .or_else(|| self.upkeep.trouble()),
        })
    }

    /// Asks that this turn ends in a flush, whatever the policy.
    pub fn must_flush(&mut self) -> Result<(), Error> {
        self.is_flush_asked = true;
        self.live().map(|_| ())
    }

    /// After an error: if the replica has stopped, the flush at the end of the turn finds out.
    pub(super) fn suspect(&mut self) {
        self.is_flush_asked = true;
    }

    /// Tells `done` once the commit has gone as far as `level` says. Where nobody would anchor it, that is said at once.
    pub fn wait(
        &mut self,
        now: Time,
        dot: Dot,
        level: Level,
        done: oneshot::Sender<()>,
    ) -> Result<(), Error> {
        let live = self.live()?;
        if level == Level::Anchored {
            if let Some(error) = off_duty(live) {
                return Err(error.into());
            }
            if let Some(home) = &mut live.home {
                home.wait(now);
            }
        }
        self.waits.add(dot, level, done);
        Ok(())
    }

    /// A commit was made here: it counts, and so does how long it takes to be anchored.
    pub fn committed(&mut self, now: Time, dot: Dot) {
        self.metrics.commits.inc();
        if self.converging.len() < CONVERGING_MAX {
            self.converging.push_back((dot, now));
        }
    }

    pub(super) fn observe_anchored(&mut self, now: Time) {
        let Some(live) = &self.live else { return };
        while let Some((dot, made)) = self.converging.front()
            && live.replica.anchored(&dot.writer) >= dot.seq
        {
            self.metrics.converge_seconds.observe(now.0.saturating_sub(made.0) as f64 / 1_000.0);
            self.converging.pop_front();
        }
    }

    /// A home is asked to make the next Handle now, and what came of it.
    pub fn anchor(&mut self, now: Time) -> Result<(), Error> {
        let live = self.live()?;
        let Some(home) = &mut live.home else { return Err(Error::NotHome) };
        home.batch(&mut live.replica, now, &mut live.registry)?;
        Ok(())
    }

    /// This folder is the home's, and no copy of it is. Peers open anew, so that they say which base they have.
    pub fn claim(&mut self, now: Time, members: Members) -> Result<(), Error> {
        let live = self.live()?;
        let home = live.home.as_mut().ok_or(Error::NotHome)?;
        home.claim(&mut live.replica, now, members)?;
        self.sessions.hang_up();
        self.must_flush()
    }

    /// Passes on who is the home, and takes up or lays down the role here, where a Handle or a ring record says so.
    pub(super) fn keep_seat(&mut self, now: Time) {
        let Some(Live { replica, home, registry }) = &mut self.live else { return };
        let as_of = (replica.base().version, replica.ring().n());
        if self.seated == Some(as_of) || replica.is_unread() {
            return;
        }
        if let Some(home) = home {
            let reviewed = home.review(replica, now, registry);
            if self.upkeep.note("the change of home", reviewed).is_none() {
                return;
            }
        }
        let ring = replica.ring();
        let home = DeviceId::of(&ring.key_for(u64::MAX));
        let is_needed = home == replica.device().id() || replica.base().ring_n < ring.n();
        let last = ring.records().last().filter(|_| is_needed);
        let former = last.map(|record| DeviceId::of(&ring.key_for(record.from_version - 1)));
        // A row that cannot be read names no address.
        let addresses = ::home::addresses(&replica.snapshot()).unwrap_or_default();
        self.seat.know(home, addresses, former);
        self.seated = Some(as_of);
    }

    pub(super) fn parts(&mut self) -> Option<(&mut Live<D>, &mut Sessions, &mut Waits, &mut Upkeep)> {
        let live = self.live.as_mut()?;
        Some((live, &mut self.sessions, &mut self.waits, &mut self.upkeep))
    }

    pub(super) fn snapshot(&self) -> Option<Snapshot<D>> {
        self.live.as_ref().map(|live| live.replica.snapshot())
    }

    /// Whether something was acknowledged that is not visible yet.
    pub(super) fn is_ahead_of_readers(&self) -> bool {
        self.live.as_ref().is_some_and(|live| !live.replica.is_flushed())
    }

    /// Flushes what the batch wrote, at once or as late as the policy allows.
    pub(super) fn settle(&mut self, now: Time, fsync: Fsync, is_retried: bool) -> Result<(), Error> {
        let is_asked = std::mem::take(&mut self.is_flush_asked) || is_retried;
        let Some(live) = &mut self.live else { return Ok(()) };
        if live.replica.is_flushed() {
            self.upkeep.nothing_to_flush();
        }
        if !is_asked && (live.replica.is_flushed() || !self.upkeep.is_flush_due(now, fsync)) {
            return Ok(());
        }
        let started = Instant::now();
        let flushed = live.replica.flush();
        self.metrics.fsync_seconds.observe(started.elapsed().as_secs_f64());
        match flushed {
            Ok(_) => {
                self.upkeep.flushed(now);
                Ok(())
            }
            Err(error) => {
                let reason = with_causes(&error);
                self.start_over(now, &reason);
                Err(Error::OutcomeUnknown)
            }
        }
    }

    /// Nobody knows what the disk holds: the replica goes away and is opened again from what is there.
    pub(super) fn start_over(&mut self, now: Time, reason: &str) {
        self.converging.clear();
        tracing::error!(reason, "the replica stopped and is opened again from disk");
        self.sessions.end_all(self.live.as_ref().map(|live| &live.replica), reason);
        self.forget_proposals();
        self.waits.clear();
        // First, since the folder's lock goes with it.
        self.live = None;
        self.reopen(now);
    }

    /// Tries to open the space again, if it is time.
    pub(super) fn revive(&mut self, now: Time) {
        // A time further away than any wait was set before the clock was put back.
        let is_due = |at: Time| now >= at || at > now.plus_ms(REOPEN_MAX_MS);
        if self.broken.as_ref().is_some_and(|(_, at)| is_due(*at)) {
            self.reopen(now);
        }
    }

    fn reopen(&mut self, now: Time) {
        self.upkeep = Upkeep::default();
        match (self.open)(now) {
            Ok(live) => {
                let note = live.replica.notes(membership::NOTE);
                self.place = Membership::decode(note.as_deref());
                self.live = Some(live);
                self.opens += 1;
                self.broken = None;
                self.reopen_ms = REOPEN_MS;
            }
            Err(reason) => {
                self.broken = Some((reason, now.plus_ms(self.reopen_ms)));
                self.reopen_ms = (2 * self.reopen_ms).min(REOPEN_MAX_MS);
            }
        }
    }

    /// When the owner next has something to do.
    pub(super) fn next_wake(&self) -> Option<Time> {
        let broken = self.broken.as_ref().map(|(_, at)| *at);
        [broken, self.upkeep.wake(), self.sessions.wake()].into_iter().flatten().min()
    }

    /// The end: everything durable, a checkpoint so that the next start is quick, goodbye to the peers.
    pub(super) fn close(&mut self, now: Time) -> Result<(), Error> {
        self.sessions.close_all(self.live.as_mut().map(|live| &mut live.replica), now);
        self.waits.clear();
        let Some(mut live) = self.live.take() else { return Ok(()) };
        live.replica.checkpoint(now)?;
        Ok(())
    }
}

/// Why a session may not be about this space: what the base says; but whom the ring names as the home is talked to in any
/// case. A base may be from before it came in, or back in, and its row may be damaged, and it is the home that has a newer one.
pub(crate) fn refusal<D: Disk>(replica: &Replica<D>, peer: &DeviceId) -> Option<ByeCode> {
    if *peer == DeviceId::of(&replica.ring().key_for(u64::MAX)) {
        return None;
    }
    if replica.handle().version == 0 {
        return Some(ByeCode::NotAuthorised);
    }
    // A session shows everything there is, so a device that may only write has none yet. A row that cannot be read
    // grants nothing.
    match home::grant(replica, peer) {
        Ok(Some(grant)) if grant.allows(::replica::READ) => None,
        Ok(None) if matches!(replica.snapshot().removed(peer), Ok(Some(_))) => Some(ByeCode::Revoked),
        _ => Some(ByeCode::NotAuthorised),
    }
}

/// An error with everything that led to it, on one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

fn tail<D: Disk>(replica: &Replica<D>) -> Vec<(WriterId, u64, u64)> {
    replica.tail().into_iter().map(|(writer, seq, _)| (writer, seq, replica.anchored(&writer))).collect()
}

/// Why a home whose folder was copied does nothing.
fn off_duty<D: Disk>(live: &Live<D>) -> Option<home::Error> {
    let duty = live.home.as_ref()?.duty();
    (duty == Duty::Copied).then_some(home::Error::OffDuty { duty })
}

/// Why it does nothing yet, once it was claimed.
fn unheard<D: Disk>(live: &Live<D>) -> Option<home::Error> {
    live.home.as_ref()?.is_unheard().then_some(home::Error::Unheard)
}
