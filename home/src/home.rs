//! `Home`: the role, as its owner holds it beside the replica.

use std::collections::BTreeSet;
use std::fmt;

use crdt::view::Manner;
use crdt::{CollId, Decoder, DeviceId, DeviceKey, Encoder, Handle, Time, derive, system};
use disk::Disk;
use replica::{Backlog, HomeWrite, Replica, Retention};

use crate::cadence::{Cadence, Uncovered};
use crate::error::Error;
use crate::registry::Registry;

const CLAIM_FORMAT: u64 = 1;

/// The note of a home that was claimed and has not heard of any member since; its value says nothing.
const UNHEARD_NOTE: &[u8] = b"home/unheard";

/// Names that one batch pins, some 1 MiB at most: however many collections somebody makes, the commit fits its limits
/// and the Handle is made.
const PINS_MAX: usize = 1000;

/// What tells this folder from its copies: of machine, device and file, as the caller sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

/// What a home is told when it is opened.
pub struct HomeOptions {
    /// The home key.
    pub key: DeviceKey,
    /// Fresh chance at every start: the generation is drawn from it, so that no home dot ever has two meanings.
    pub seed: [u8; 32],
    /// Of the folder the replica lies in.
    pub fingerprint: Fingerprint,
}

/// What whoever claims a home knows of its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Members {
    /// One may have a version that this folder lost.
    MayBeAhead,
    /// None has anything that this folder does not have.
    AreNotAhead,
}

/// Whether this home acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// It does.
    On,
    /// Another key signs for the space.
    NotHome,
    /// The folder was copied or restored: two homes would sign one version. Off until it is claimed.
    Copied,
}

impl fmt::Display for Duty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Duty::On => "it acts",
            Duty::NotHome => "another device is",
            Duty::Copied => "its folder was copied or moved, so that home duties are off until it is claimed",
        })
    }
}

/// Admits devices, pins names and moves the Handle of one space.
///
/// Its commits become facts only through the Handle that covers them; no peer gets them before.
pub struct Home {
    pub(crate) key: DeviceKey,
    pub(crate) cadence: Cadence,
    /// Signed and perhaps in the registry: asked for again, byte by byte, until it is known.
    pub(crate) in_doubt: Option<Handle>,
    /// A Handle of this space's home that is newer than the base: a device has it, and this replica lost it.
    pub(crate) ahead: Option<Handle>,
    /// It was claimed, and no member has said since which base it has.
    pub(crate) is_unheard: bool,
    /// Members that have said since this start that they hold nothing at all.
    pub(crate) empty: BTreeSet<DeviceId>,
    /// The base for which it is known what its tail takes as ended.
    pub(crate) looked_at: u64,
    /// Whether the registry has been compared with the manifest since the start.
    pub(crate) is_level: bool,
    /// The last batch left names unpinned: another one is due, even with nothing else to cover.
    pub(crate) has_more_names: bool,
    /// Damage hid what is to be published: another look is due, even with nothing else to cover.
    pub(crate) must_look: bool,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) duty: Duty,
    generation: [u8; 8],
}

impl Home {
    /// Takes up the role where the manifest left it, and brings manifest and registry level.
    ///
    /// A replica that was never claimed is claimed for this folder, whether or not it is a home now. Where the registry does not answer, the next
    /// [`Home::batch`] asks again.
    pub fn open<D: Disk>(
        options: HomeOptions,
        replica: &mut Replica<D>,
        now: Time,
        registry: &mut impl Registry,
    ) -> Result<Home, Error> {
        let HomeOptions { key, seed, fingerprint } = options;
        let generation = derive("generation", &seed);
        let generation = generation[..8].try_into().expect("eight of 32 bytes");
        let (cadence, duty) = (Cadence::default(), duty(replica, &key, fingerprint)?);
        let mut home = Home {
            key,
            cadence,
            in_doubt: None,
            ahead: None,
            is_unheard: replica.notes(UNHEARD_NOTE).is_some(),
            empty: BTreeSet::new(),
            looked_at: 0,
            is_level: false,
            has_more_names: false,
            must_look: false,
            fingerprint,
            duty,
            generation,
        };
        // Also where it is no home yet: two copies of a device that becomes one must not both take up the role.
        if replica.claim().is_empty() {
            replica.set_claim(now, encode_claim(fingerprint))?;
        }
        home.look_for_others(replica);
        match home.is_on_duty() {
            true => home.begin_duty(replica, now, registry)?,
            false => or_later(replica.rest_home(now).map_err(Error::from), replica)?,
        }
        Ok(home)
    }

    pub(crate) fn begin_duty<D: Disk>(
        &mut self,
        replica: &mut Replica<D>,
        now: Time,
        registry: &mut impl Registry,
    ) -> Result<(), Error> {
        or_later(replica.wake_home(now).map_err(Error::from), replica)?;
        match self.level(replica, now, registry) {
            Err(Error::Unavailable | Error::Behind { .. }) => {}
            answer => or_later(answer, replica)?,
        }
        if uncovered(replica).commits == 0 {
            // Nothing else would make a Handle due, and what is proven has to be said.
            match self.look_for_ended(replica) {
                Err(error) if replica::is_damage(&error) && !replica.is_stopped() => self.must_look = true,
                answer => answer?,
            }
        }
        Ok(())
    }

    /// Whether it acts, and if not, why.
    pub fn duty(&self) -> Duty {
        self.duty
    }

    /// Whether it acts.
    pub fn is_on_duty(&self) -> bool {
        self.duty == Duty::On
    }

    /// Binds the role to this folder, durably. A person says so who knows that no other copy acts.
    ///
    /// The folder may be a backup, and members may have versions that were signed after it was made: signing one of them
    /// again would give it two meanings. So nothing is signed before a member was heard of, unless the same person knows
    /// that none has anything newer, or there is none.
    pub fn claim<D: Disk>(
        &mut self,
        replica: &mut Replica<D>,
        now: Time,
        members: Members,
    ) -> Result<(), Error> {
        if self.duty == Duty::NotHome {
            return Err(Error::OffDuty { duty: self.duty });
        }
        let has_others = !others(replica)?.is_empty();
        // What was said before may have been lost since, by the one who said it. Whoever has it says it again.
        self.ahead = None;
        self.empty.clear();
        self.is_unheard = members == Members::MayBeAhead && has_others;
        // With the claim or before it.
        replica.note(UNHEARD_NOTE, if self.is_unheard { b"1" } else { b"" })?;
        replica.claim_folder(self.fingerprint.0)?;
        replica.set_claim(now, encode_claim(self.fingerprint))?;
        self.duty = Duty::On;
        // What was decided here before holds, as whoever decided it was told.
        replica.wake_home(now)?;
        Ok(())
    }

    /// Whether it was claimed and waits for a member to say which base it has.
    pub fn is_unheard(&self) -> bool {
        self.is_unheard
    }

    /// Somebody waits for what is there now to be anchored.
    pub fn wait(&mut self, now: Time) {
        self.cadence.wait(now);
    }

    /// A device has said which base it has. One that the ring signed and that is newer than the base here was made here
    /// before a restore: until it is adopted, nothing is signed, or that version would have two Handles.
    ///
    /// One that holds nothing, since its folder was lost, shows no Handle of the ring, and says nothing of what another may
    /// have. When all members that are known here have said so, there is nobody left to wait for.
    pub fn hear<D: Disk>(&mut self, replica: &Replica<D>, from: &DeviceId, handle: &Handle) {
        if self.is_unheard && handle.version == 0 {
            self.empty.insert(*from);
            return self.look_for_others(replica);
        }
        let is_newer = |known: &Handle| handle.version > known.version;
        let is_news = is_newer(replica.base()) && self.ahead.as_ref().is_none_or(is_newer);
        if (is_news || self.is_unheard) && replica.ring().verify(handle).is_ok() {
            self.is_unheard = false;
            if is_news {
                self.ahead = Some(handle.clone());
            }
        }
    }

    /// Ends the wait of a claimed home where every member that is known here holds nothing, or was taken out since: nobody
    /// talks with one that is out, and what it has counts for nothing.
    pub(crate) fn look_for_others<D: Disk>(&mut self, replica: &Replica<D>) {
        // What cannot be read now is asked again when the next one is heard.
        let is_nobody_left = |others: BTreeSet<DeviceId>| others.is_subset(&self.empty);
        self.is_unheard &= !others(replica).is_ok_and(is_nobody_left);
    }

    /// Somebody was heard of since the claim: from now on that is so after a restart, too.
    pub(crate) fn keep_heard<D: Disk>(&self, replica: &mut Replica<D>) -> Result<(), Error> {
        if !self.is_unheard && replica.notes(UNHEARD_NOTE).is_some() {
            replica.note(UNHEARD_NOTE, b"")?;
        }
        Ok(())
    }

    /// When the next [`Home::batch`] is due. Never off duty, never while everything is covered, and not before a home that was
    /// claimed has heard of a member.
    pub fn due<D: Disk>(&mut self, now: Time, replica: &Replica<D>) -> Option<Time> {
        if !self.is_on_duty() || self.is_unheard {
            return None;
        }
        self.cadence.observe(now, self.outstanding(replica));
        self.cadence.due()
    }

    /// One commit of the home, durable when this returns.
    pub(crate) fn write<D: Disk>(
        &mut self,
        replica: &mut Replica<D>,
        now: Time,
        writes: Vec<HomeWrite>,
    ) -> Result<(), Error> {
        replica.home_commit(now, self.generation, self.key.public(), writes)?;
        replica.flush()?;
        Ok(())
    }

    /// Has a collection read in another manner from the next Handle on.
    pub fn set_view<D: Disk>(
        &mut self,
        replica: &mut Replica<D>,
        now: Time,
        coll: CollId,
        manner: &Manner,
    ) -> Result<(), Error> {
        self.check_duty()?;
        self.write(replica, now, vec![replica::view_write(coll, manner)])
    }

    /// Has losers of a collection kept so long and so many from the next Handle on.
    pub fn set_retention<D: Disk>(
        &mut self,
        replica: &mut Replica<D>,
        now: Time,
        coll: CollId,
        retention: &Retention,
    ) -> Result<(), Error> {
        self.check_duty()?;
        self.write(replica, now, vec![retention.write(coll)])
    }

    pub(crate) fn check_duty(&self) -> Result<(), Error> {
        if self.is_on_duty() { Ok(()) } else { Err(Error::OffDuty { duty: self.duty }) }
    }

    /// Pins each name that has a collection and no pin to the collection that has the name now.
    ///
    /// From the first Handle that covers it a name stays where it is: a device whose clock stands in 1970 could
    /// otherwise take one that is in use. Where there are more than one commit should hold, the next batches go on.
    pub(crate) fn pin_names<D: Disk>(&mut self, replica: &mut Replica<D>, now: Time) -> Result<(), Error> {
        let snapshot = replica.snapshot();
        let mut pins = Vec::new();
        for collection in snapshot.collections()? {
            let key = crdt::key::plain(collection.descriptor.name.as_bytes());
            let has_the_name = collection.name == collection.descriptor.name;
            if has_the_name && snapshot.get(system::name(), &key)?.is_none() {
                let value = Some(collection.id.as_bytes().to_vec());
                pins.push(HomeWrite { coll: system::name(), key, value });
            }
        }
        self.has_more_names = pins.len() > PINS_MAX;
        pins.truncate(PINS_MAX);
        if pins.is_empty() { Ok(()) } else { self.write(replica, now, pins) }
    }

    /// What is left for the next Handle: names that are yet to be pinned will be one commit more, and so will cuts, and so may
    /// what another look finds.
    pub(crate) fn outstanding<D: Disk>(&self, replica: &Replica<D>) -> Uncovered {
        let uncovered = uncovered(replica);
        let may_come = [self.has_more_names, !replica.ended().is_empty(), self.must_look];
        let coming = may_come.into_iter().map(u64::from).sum::<u64>();
        Uncovered { commits: uncovered.commits + coming, ..uncovered }
    }
}

/// Whether a later try may go well, with room or with what members heal.
fn passes(error: &Error) -> bool {
    replica::is_full(error) || replica::is_damage(error)
}

/// The members beside this device.
fn others<D: Disk>(replica: &Replica<D>) -> Result<BTreeSet<DeviceId>, Error> {
    let (me, members) = (replica.device().id(), crate::members(&replica.snapshot())?);
    Ok(members.into_iter().map(|(device, _)| device).filter(|device| *device != me).collect())
}

/// What finds no room, or needs what is damaged, is done when the role is looked at again: everything else goes on.
fn or_later<D: Disk>(done: Result<(), Error>, replica: &Replica<D>) -> Result<(), Error> {
    match done {
        Err(error) if passes(&error) && !replica.is_stopped() => Ok(()),
        done => done,
    }
}

/// What no Handle covers at this replica.
pub(crate) fn uncovered<D: Disk>(replica: &Replica<D>) -> Uncovered {
    let Backlog { commits, len, overlay_entries } = replica.backlog();
    // Folded since the last checkpoint: those before it cost the next Handle nothing any more.
    Uncovered { commits, len, mutations: overlay_entries }
}

pub(crate) fn duty<D: Disk>(
    replica: &Replica<D>,
    key: &DeviceKey,
    fingerprint: Fingerprint,
) -> Result<Duty, Error> {
    // A home that handed over may have lost its folder, and have joined anew: from what it holds it would be the home still.
    let next = replica.base().version + 1;
    if [next, u64::MAX].iter().any(|version| !replica.ring().keys_for(*version).contains(&key.public())) {
        return Ok(Duty::NotHome);
    }
    if replica.claim().is_empty() {
        return Ok(Duty::On);
    }
    let claimed = decode_claim(replica.claim()).map_err(|source| Error::BadClaim { source })?;
    Ok(if claimed == fingerprint { Duty::On } else { Duty::Copied })
}

pub(crate) fn encode_claim(fingerprint: Fingerprint) -> Vec<u8> {
    let mut out = Encoder::new();
    out.array(2).uint(CLAIM_FORMAT).bytes(&fingerprint.0);
    out.finish()
}

pub(crate) fn decode_claim(bytes: &[u8]) -> Result<Fingerprint, crdt::Error> {
    let mut from = Decoder::new(bytes);
    from.format("home claim", CLAIM_FORMAT, 2..=2)?;
    let fingerprint = Fingerprint(from.fixed()?);
    from.finish()?;
    Ok(fingerprint)
}
