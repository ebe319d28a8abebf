//! What a commit is, and what a set of commits means.
//!
//! State is a function of a *set* of commits: what they wrote minus what they superseded. Nothing in this
//! crate touches a disk, a clock or a network: bytes and numbers go in, bytes and numbers come out, and the
//! same ones every time.

pub mod clock;
pub mod codec;
pub mod commit;
mod error;
pub mod evidence;
pub mod fold;
pub mod genesis;
pub mod handle;
pub mod id;
pub mod key;
#[cfg(feature = "crdts")]
pub mod lattice;
#[cfg(test)]
mod laws;
pub mod proposal;
pub mod rule;
pub mod seal;
pub mod ticket;
pub mod vector;
pub mod view;

pub use clock::{Clock, Hlc, Time};
pub use codec::{Decoder, Encoder};
pub use commit::{BlobRef, Body, Commit, Header, Mutation, Op, Open, Payload};
pub use error::{Error, Invalid, KeyProblem, Problem};
pub use evidence::{Evidence, Fork, Proof, Proofs, Strand, TakenBack};
pub use fold::{Effect, effects, physical, split_physical};
pub use genesis::{Genesis, RING_MAX, Ring, RingRecord};
pub use handle::Handle;
pub use id::{Class, CollId, CommitId, DeviceId, Dot, SpaceId, WriterId, derive};
pub use key::Element;
pub use proposal::{Proposal, Read, Wish};
pub use rule::{Descriptor, Policy, Rule, Supersede, Writers, system};
pub use seal::{DeviceKey, Seal, verify};
pub use ticket::{Role, Ticket, proof, secret_hash, verify_proof};
pub use vector::{Tip, Vector};
