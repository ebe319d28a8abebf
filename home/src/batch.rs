//! The next Handle: nodes first, then the registry, then the manifest, then everybody else.

use crdt::{Handle, Hlc, Time};
use disk::Disk;
use replica::{Replica, Roots};
use sync::{Adoption, Offer, Store};

use crate::error::Error;
use crate::found::FOLD_VERSION;
use crate::home::{Home, uncovered};
use crate::registry::{Outcome, Registry};

/// A signed Handle that is not in the registry yet; every node it names is on the disk.
///
/// [`Proposal::run`] needs nothing but the registry, so that any thread may do it.
#[derive(Debug, Clone)]
pub struct Proposal {
    base: Handle,
    next: Handle,
}

/// What the registry made of a proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is there.
    Ours,
    /// Another one is: the next is made on that.
    Theirs(Box<Handle>),
    /// Nobody knows.
    InDoubt,
}

impl Home {
    /// Covers everything held here with one more Handle. `None`: everything is covered.
    ///
    /// Where another home was first, its Handle is adopted instead, and what is left is due soon. An error changes
    /// nothing that a later call does not put right; [`Home::due`] says when that is.
    pub fn batch<D: Disk>(
        &mut self,
        replica: &mut Replica<D>,
        now: Time,
        registry: &mut impl Registry,
    ) -> Result<Option<Handle>, Error> {
        let answer = self.try_batch(replica, now, registry);
        if answer.is_err() {
            self.cadence.failed(now);
        }
        answer
    }

    /// The first part of [`Home::batch`]: signs what is held, once its nodes are on the disk.
    pub fn begin<D: Disk>(&mut self, replica: &mut Replica<D>, now: Time) -> Result<Option<Proposal>, Error> {
        self.check_duty()?;
        let base = replica.base().clone();
        self.ahead = self.ahead.take().filter(|ahead| ahead.version > base.version);
        if let Some(ahead) = &self.ahead {
            return Err(Error::Behind { handle: Box::new(ahead.clone()) });
        }
        if self.is_unheard {
            return Err(Error::Unheard);
        }
        match &self.in_doubt {
            // The same bytes: were it another Handle, both could be seen under one version.
            Some(next) if next.version == base.version + 1 => {
                return Ok(Some(Proposal { base, next: next.clone() }));
            }
            _ => self.in_doubt = None,
        }
        self.keep_heard(replica)?;
        replica.flush()?;
        if self.outstanding(replica).commits == 0 {
            return Ok(None);
        }
        self.publish_cuts(replica, now)?;
        self.pin_names(replica, now)?;
        // Other names may have been pinned by another home meanwhile.
        if uncovered(replica).commits == 0 {
            return Ok(None);
        }
        // Nodes first: a Handle in the registry must never name one that is not on the disk.
        let roots = replica.candidate(now)?;
        let next = self.sign(replica, now, roots);
        self.in_doubt = Some(next.clone());
        Ok(Some(Proposal { base, next }))
    }

    /// The last part: the manifest, after which sessions may see the new base.
    pub fn finish<D: Disk>(
        &mut self,
        replica: &mut Replica<D>,
        now: Time,
        proposal: Proposal,
        verdict: Verdict,
    ) -> Result<Handle, Error> {
        match verdict {
            Verdict::InDoubt => Err(Error::InDoubt { version: proposal.next.version }),
            Verdict::Theirs(handle) => {
                self.in_doubt = None;
                self.follow(replica, now, *handle)
            }
            Verdict::Ours => {
                let is_looked_at = self.looked_at == proposal.base.version;
                let handle = self.install(replica, now, proposal.next)?;
                // What came since has been looked at as it came.
                self.looked_at = if is_looked_at { handle.version } else { 0 };
                self.in_doubt = None;
                Ok(handle)
            }
        }
    }

    /// Brings the manifest up to the registry, or the registry up to the manifest.
    ///
    /// After a crash the registry may be one ahead: that Handle was made here and covers what is held here. It may
    /// be behind only where it lost what it had acknowledged.
    pub(crate) fn level<D: Disk>(
        &mut self,
        replica: &mut Replica<D>,
        now: Time,
        registry: &mut impl Registry,
    ) -> Result<(), Error> {
        let base = replica.base().clone();
        match registry.get(&replica.space())? {
            Some(current) if current.version > base.version => {
                self.follow(replica, now, current)?;
            }
            Some(current) if current.version == base.version && current != base => {
                return Err(Error::TwoHandles { version: base.version });
            }
            Some(current) if current.version == base.version => {}
            current => raise(registry, current.map_or(0, |current| current.version), &base)?,
        }
        self.is_level = true;
        Ok(())
    }

    fn try_batch<D: Disk>(
        &mut self,
        replica: &mut Replica<D>,
        now: Time,
        registry: &mut impl Registry,
    ) -> Result<Option<Handle>, Error> {
        self.check_duty()?;
        if !self.is_level {
            self.level(replica, now, registry)?;
        }
        let Some(proposal) = self.begin(replica, now)? else { return Ok(None) };
        let verdict = proposal.run(registry)?;
        self.finish(replica, now, proposal, verdict).map(Some)
    }

    fn sign<D: Disk>(&self, replica: &Replica<D>, now: Time, roots: Roots) -> Handle {
        let base = replica.base();
        let next = Handle {
            space: base.space,
            version: base.version + 1,
            prev: base.hash(),
            data_root: roots.data.0,
            vv_root: roots.vector.0,
            fold_version: FOLD_VERSION,
            gc_epoch: base.gc_epoch,
            ring_n: replica.ring().n_for(base.version + 1),
            hlc: Hlc::from_time(now).max(Hlc(base.hlc.0.saturating_add(1))),
            batch: None,
            signature: [0; 64],
        };
        next.sign(&self.key)
    }

    fn install<D: Disk>(
        &mut self,
        replica: &mut Replica<D>,
        now: Time,
        next: Handle,
    ) -> Result<Handle, Error> {
        match replica.install_handle(now, next.clone()) {
            Ok(()) => {
                self.cadence.made(now, self.outstanding(replica));
                Ok(next)
            }
            // More was folded since it was signed.
            Err(replica::Error::NotCandidate { .. }) => self.follow(replica, now, next),
            Err(error) => Err(error.into()),
        }
    }

    /// Adopts a Handle from the registry, if everything it covers is here.
    fn follow<D: Disk>(
        &mut self,
        replica: &mut Replica<D>,
        now: Time,
        handle: Handle,
    ) -> Result<Handle, Error> {
        replica.flush()?;
        // Nodes of one that was made here may be gone, and nobody could send them; what it covers is in the log.
        let vector_changes = replica.covered_by_own(&handle)?;
        let offer =
            Offer { handle: handle.clone(), ring: Vec::new(), vector_changes, home_commits: Vec::new() };
        match replica.adopt(now, offer)? {
            Adoption::Adopted | Adoption::Stale => {
                self.cadence.made(now, self.outstanding(replica));
                Ok(handle)
            }
            Adoption::Fetch(_) => Err(Error::Behind { handle: Box::new(handle) }),
        }
    }
}

impl Proposal {
    /// The Handle that is proposed.
    pub fn handle(&self) -> &Handle {
        &self.next
    }

    /// Asks the registry, until it is known what it holds or it does not answer.
    pub fn run(&self, registry: &mut impl Registry) -> Result<Verdict, Error> {
        match registry.cas(&self.next.space, self.base.version, &self.next)? {
            Outcome::Swapped => Ok(Verdict::Ours),
            Outcome::Conflict { current, .. } => match current {
                Some(current) if current.version >= self.next.version => Ok(self.judge(*current)),
                Some(current) if current.version == self.base.version && *current != self.base => {
                    Err(Error::TwoHandles { version: current.version })
                }
                // It lost what it had acknowledged: the manifest still holds it, and so may peers.
                current => {
                    raise(registry, current.map_or(0, |current| current.version), &self.base)?;
                    self.retry(registry)
                }
            },
            Outcome::Unknown => self.read_back(registry),
            Outcome::Unsupported => unreachable!("every registry swaps one Handle"),
        }
    }

    fn retry(&self, registry: &mut impl Registry) -> Result<Verdict, Error> {
        match registry.cas(&self.next.space, self.base.version, &self.next)? {
            Outcome::Swapped => Ok(Verdict::Ours),
            _ => Ok(Verdict::InDoubt),
        }
    }

    /// The answer was lost, and reading tells: unless the swap is still on its way.
    fn read_back(&self, registry: &mut impl Registry) -> Result<Verdict, Error> {
        match registry.get(&self.next.space) {
            Ok(Some(current)) if current.version >= self.next.version => Ok(self.judge(current)),
            Ok(_) | Err(Error::Unavailable) => Ok(Verdict::InDoubt),
            Err(error) => Err(error),
        }
    }

    fn judge(&self, current: Handle) -> Verdict {
        if current == self.next { Verdict::Ours } else { Verdict::Theirs(Box::new(current)) }
    }
}

/// Puts the base back into a registry that lost it.
fn raise(registry: &mut impl Registry, from: u64, base: &Handle) -> Result<(), Error> {
    match registry.cas(&base.space, from, base)? {
        Outcome::Swapped => Ok(()),
        // What it fell back to is not what the base was made on.
        Outcome::Conflict { current: Some(current), .. }
            if current.version + 1 == base.version && current.hash() != base.prev =>
        {
            Err(Error::TwoHandles { version: current.version })
        }
        _ => Err(Error::InDoubt { version: base.version }),
    }
}
