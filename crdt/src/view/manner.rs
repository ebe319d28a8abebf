//! The manner in which a collection is read and written: its policy and its parameters.

use crate::codec::{Decoder, Encoder};
use crate::error::{Error, Problem};
use crate::rule::{Descriptor, Policy};
use crate::view::lww::Losers;

/// What becomes of concurrent values of one key or field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Siblings {
    /// The winner is shown, and the next write replaces all that its writer saw.
    #[default]
    Replace = 0,
    /// The winner is shown, and what lost stays until somebody resolves it.
    Keep = 1,
    /// All of them are shown.
    Show = 2,
}

/// What an edit does to a document that was deleted at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deletes {
    /// The document stays deleted, and the edit is listed as a conflict.
    #[default]
    Hide = 0,
    /// The document is there again, with what the edit wrote.
    Revive = 1,
}

/// How a collection is read and written, as its descriptor or the home says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// The policy.
    pub policy: Policy,
    /// Concurrent values of a register, or of a field.
    pub siblings: Siblings,
    /// Deletes against edits; of documents only.
    pub deletes: Deletes,
}

impl Manner {
    /// The usual manner of a policy.
    pub fn of(policy: Policy) -> Manner {
        let siblings = match policy {
            Policy::Copies => Siblings::Keep,
            Policy::Mv => Siblings::Show,
            _ => Siblings::Replace,
        };
        Manner { policy, siblings, deletes: Deletes::Hide }
    }

    /// What a descriptor says. Parameters that are not known here count for nothing.
    pub fn described(descriptor: &Descriptor) -> Manner {
        Manner::with(descriptor.policy, &descriptor.params)
    }

    /// A policy with its parameters.
    fn with(policy: Policy, params: &[u8]) -> Manner {
        let usual = Manner::of(policy);
        match (policy, numbers(params).as_deref()) {
            (Policy::Lww, Some([1])) => Manner { siblings: Siblings::Keep, ..usual },
            (Policy::Map, Some([deletes @ 0..=1, siblings @ 0..=2])) => Manner {
                siblings: [Siblings::Replace, Siblings::Keep, Siblings::Show][*siblings as usize],
                deletes: [Deletes::Hide, Deletes::Revive][*deletes as usize],
                ..usual
            },
            _ => usual,
        }
    }

    /// Its parameters as a descriptor holds them; none for the usual manner.
    pub fn params(&self) -> Vec<u8> {
        let mut params = Encoder::new();
        match self.policy {
            _ if *self == Manner::of(self.policy) => return Vec::new(),
            Policy::Map => params.array(2).uint(self.deletes as u64).uint(self.siblings as u64),
            _ => params.array(1).uint(1),
        };
        params.finish()
    }

    /// What becomes of the losers of a register or field when somebody writes to it.
    pub fn losers(&self) -> Losers {
        match self.siblings {
            Siblings::Keep => Losers::Keep,
            Siblings::Replace | Siblings::Show => Losers::Replace,
        }
    }

    /// Whether a collection made in this manner may be read in another one: what is stored means the same in both.
    pub fn may_become(&self, other: &Manner) -> bool {
        let is_register =
            |manner: &Manner| matches!(manner.policy, Policy::Lww | Policy::Mv | Policy::Copies);
        is_register(self) && is_register(other) || self.policy == other.policy
    }

    /// Its bytes in `sys/meta`, where the home says that a collection is read so from now on.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.array(2).uint(self.policy as u64).bytes(&self.params());
        out.finish()
    }

    /// Reads it.
    pub fn decode(bytes: &[u8]) -> Result<Manner, Error> {
        let mut from = Decoder::new(bytes);
        from.array_of(2)?;
        let at = from.position();
        let policy = Policy::from_code(from.uint()?).ok_or(Error::encoding(at, Problem::Range))?;
        let at = from.position();
        let params = from.bytes()?;
        from.finish()?;
        let manner = Manner::with(policy, params);
        if manner.params() == params { Ok(manner) } else { Err(Error::encoding(at, Problem::Range)) }
    }
}

/// A short array of numbers, if that is what these bytes are.
fn numbers(params: &[u8]) -> Option<Vec<u64>> {
    let mut from = Decoder::new(params);
    let count = from.array_up_to(2, "parameters").ok()?;
    let numbers = (0..count).map(|_| from.uint()).collect::<Result<_, _>>().ok()?;
    from.finish().ok()?;
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manners_come_back_from_descriptors_and_from_the_homes_word() {
        let map = |deletes, siblings| Manner { policy: Policy::Map, siblings, deletes };
        let keeping = Manner { siblings: Siblings::Keep, ..Manner::of(Policy::Lww) };
        let manners = [
            keeping,
            Manner::of(Policy::Lww),
            Manner::of(Policy::Copies),
            Manner::of(Policy::PnCounter),
            map(Deletes::Hide, Siblings::Keep),
            map(Deletes::Revive, Siblings::Show),
        ];
        for manner in manners {
            let mut descriptor = Descriptor::new("things", manner.policy).expect("a name");
            descriptor.params = manner.params();
            assert_eq!(Manner::described(&descriptor), manner);
            assert_eq!(Manner::decode(&manner.encode()), Ok(manner));
        }
    }

    #[test]
    fn parameters_that_are_not_known_count_for_nothing() {
        let of_map = [&[0x81, 7][..], &[0x82, 2, 0], &[0x82, 0, 3], b"x", &[0x81, 1, 1], &[0x82, 1, 1, 0]];
        let of_lww = [&[0x81, 2][..], &[0x82, 1, 1], &[0x81, 1, 0]];
        let of = |policy| move |params: &[u8]| (policy, params.to_vec());
        for (policy, params) in
            of_map.into_iter().map(of(Policy::Map)).chain(of_lww.into_iter().map(of(Policy::Lww)))
        {
            let mut descriptor = Descriptor::new("things", policy).expect("a name");
            descriptor.params = params;
            assert_eq!(Manner::described(&descriptor), Manner::of(policy), "{:?}", descriptor.params);
        }
        assert!(Manner::decode(&[0x82, 3, 0x41, 7]).is_err());
    }

    #[test]
    fn only_what_is_stored_alike_may_be_read_otherwise() {
        let may = |from, to| Manner::of(from).may_become(&Manner::of(to));
        assert!(
            may(Policy::Lww, Policy::Mv) && may(Policy::Mv, Policy::Copies) && may(Policy::Map, Policy::Map)
        );
        assert!(!may(Policy::Lww, Policy::Map) && !may(Policy::OrSet, Policy::Lww));
    }
}
