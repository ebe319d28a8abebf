//! Who may supersede whose dots, and the descriptor that fixes it for a collection.

use std::fmt;
use std::str::FromStr;

use crate::codec::{Decoder, Encoder};
use crate::error::{Error, Problem};
use crate::id::{CollId, WriterId, derive};
use crate::key::{self, Element};

/// Longest name of a collection: it has to fit a descriptor into one payload.
pub const NAME_LEN_MAX: usize = 255;

/// Longest parameters of a collection, for the same reason.
pub const PARAMS_LEN_MAX: usize = 512;

/// The first byte of a collection's id, and all that fold knows about its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule(u8);

/// Whose dots a commit may supersede.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supersede {
    /// Everybody's.
    Any = 0,
    /// Its own writer's; a home those of all.
    Own = 1,
    /// Nobody's; a home those of all.
    HomeOnly = 2,
}

/// Who may write to a collection at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writers {
    /// Whoever may write to the space.
    Anyone,
    /// The home, for everybody: a single history.
    Home,
}

const SUPERSEDE_BITS: u8 = 0b011;
const HOME_BIT: u8 = 0b100;

impl Rule {
    /// The rule with these two answers.
    pub const fn new(supersede: Supersede, writers: Writers) -> Rule {
        let home = match writers {
            Writers::Anyone => 0,
            Writers::Home => HOME_BIT,
        };
        Rule(supersede as u8 | home)
    }

    /// The rule a byte stands for. It may be one that is not known here.
    pub const fn from_byte(byte: u8) -> Rule {
        Rule(byte)
    }

    /// The byte that stands for it.
    pub const fn byte(self) -> u8 {
        self.0
    }

    /// Whether the byte has a meaning. A commit that uses another one is invalid.
    pub fn is_known(self) -> bool {
        self.0 & !(SUPERSEDE_BITS | HOME_BIT) == 0 && self.0 & SUPERSEDE_BITS != 3
    }

    /// Whose dots a commit may supersede.
    pub fn supersede(self) -> Supersede {
        match self.0 & SUPERSEDE_BITS {
            0 => Supersede::Any,
            1 => Supersede::Own,
            _ => Supersede::HomeOnly,
        }
    }

    /// Whether only the home writes.
    pub fn home_only(self) -> bool {
        self.0 & HOME_BIT != 0
    }

    /// Whether a commit of `by` removes a dot of `target` that it names.
    pub fn may_supersede(self, by: &WriterId, target: &WriterId) -> bool {
        match self.supersede() {
            Supersede::Any => true,
            Supersede::Own => by == target || by.is_home(),
            Supersede::HomeOnly => by.is_home(),
        }
    }
}

impl CollId {
    /// The collection's rule: part of its id, so that it never changes.
    pub fn rule(&self) -> Rule {
        Rule(self.0[0])
    }
}

/// How the live dots of a key are read, and so how writes name what they supersede.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Policy {
    /// The latest write wins; the others are kept or replaced.
    #[default]
    Lww = 0,
    /// All concurrent values.
    Mv = 1,
    /// The winner at the key, the losers beside it.
    Copies = 2,
    /// Documents of fields.
    Map = 3,
    /// A set in which an add wins over a concurrent remove.
    OrSet = 4,
    /// A set that only grows.
    GSet = 5,
    /// A set in which what is removed stays removed.
    TwoPhaseSet = 6,
    /// A counter that only grows.
    GCounter = 7,
    /// A counter.
    PnCounter = 8,
    /// Text that many edit.
    Text = 9,
    /// A list that many edit.
    List = 10,
    /// One history, written by the home.
    Strong = 11,
}

impl Policy {
    /// Those that this version has a view for.
    pub const READ: [Policy; 9] = [
        Policy::Lww,
        Policy::Mv,
        Policy::Copies,
        Policy::Map,
        Policy::OrSet,
        Policy::GSet,
        Policy::TwoPhaseSet,
        Policy::GCounter,
        Policy::PnCounter,
    ];

    /// Each with the word for it.
    const NAMES: [(Policy, &str); 12] = [
        (Policy::Lww, "lww"),
        (Policy::Mv, "mv"),
        (Policy::Copies, "copies"),
        (Policy::Map, "map"),
        (Policy::OrSet, "or-set"),
        (Policy::GSet, "g-set"),
        (Policy::TwoPhaseSet, "2p-set"),
        (Policy::GCounter, "g-counter"),
        (Policy::PnCounter, "pn-counter"),
        (Policy::Text, "text"),
        (Policy::List, "list"),
        (Policy::Strong, "strong"),
    ];

    /// The word for it.
    pub fn name(self) -> &'static str {
        let (_, name) = Self::NAMES[self as usize];
        name
    }

    /// The rule its collections have.
    pub fn rule(self) -> Rule {
        use Policy::{
            Copies, GCounter, GSet, List, Lww, Map, Mv, OrSet, PnCounter, Strong, Text, TwoPhaseSet,
        };
        match self {
            Lww | Mv | Copies | Map | OrSet => Rule::new(Supersede::Any, Writers::Anyone),
            GCounter | PnCounter => Rule::new(Supersede::Own, Writers::Anyone),
            GSet | TwoPhaseSet | Text | List => Rule::new(Supersede::HomeOnly, Writers::Anyone),
            Strong => Rule::new(Supersede::Any, Writers::Home),
        }
    }

    pub(crate) fn from_code(code: u64) -> Option<Policy> {
        Policy::NAMES.iter().map(|(policy, _)| *policy).find(|policy| *policy as u64 == code)
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Policy {
    type Err = Error;

    fn from_str(text: &str) -> Result<Policy, Error> {
        let found = Policy::NAMES.iter().find(|(_, name)| *name == text);
        found.map(|(policy, _)| *policy).ok_or(Error::Text { what: "policy" })
    }
}

/// What a collection was made as. Its id is its hash, so nothing in it changes later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The name it asks for.
    pub name: String,
    /// The policy, which fixes the rule.
    pub policy: Policy,
    /// Parameters of the policy, encoded; empty for the defaults.
    pub params: Vec<u8>,
}

impl Descriptor {
    /// A descriptor with default parameters. Refuses what cannot be a name.
    pub fn new(name: &str, policy: Policy) -> Result<Descriptor, Error> {
        check_name(name)?;
        Ok(Descriptor { name: name.to_owned(), policy, params: Vec::new() })
    }

    /// The id of the collection it describes.
    pub fn id(&self) -> CollId {
        let hash = derive("descriptor", &self.encode());
        let mut id = [0; 16];
        id[0] = self.policy.rule().byte();
        id[1..].copy_from_slice(&hash[..15]);
        CollId(id)
    }

    /// The key under which `sys/coll` keeps it.
    pub fn key(id: &CollId) -> Vec<u8> {
        key::encode(&[Element::Bytes(id.0.to_vec())]).expect("16 bytes are within every limit of a key")
    }

    /// Its bytes: the payload in `sys/coll`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::with_capacity(8 + self.name.len() + self.params.len());
        out.array(3).bytes(self.name.as_bytes()).uint(self.policy as u64).bytes(&self.params);
        out.finish()
    }

    /// Reads a descriptor.
    pub fn decode(bytes: &[u8]) -> Result<Descriptor, Error> {
        let mut from = Decoder::new(bytes);
        from.array_of(3)?;
        let name = from.text()?.to_owned();
        check_name(&name)?;
        let at = from.position();
        let policy = Policy::from_code(from.uint()?).ok_or(Error::encoding(at, Problem::Range))?;
        let params = from.bytes_up_to(PARAMS_LEN_MAX, "parameters")?.to_vec();
        from.finish()?;
        Ok(Descriptor { name, policy, params })
    }
}

/// `~` is kept for the names of collections that share one.
fn check_name(name: &str) -> Result<(), Error> {
    let bad_char = |char: char| char == '~' || char.is_control();
    let fits = (1..=NAME_LEN_MAX).contains(&name.len()) && !name.contains(bad_char);
    if fits { Ok(()) } else { Err(Error::Name) }
}

/// The collections that a space is run by.
pub mod system {
    use super::{Descriptor, Policy};
    use crate::id::CollId;

    fn id(name: &str, policy: Policy) -> CollId {
        Descriptor { name: name.to_owned(), policy, params: Vec::new() }.id()
    }

    /// Devices and what they may do.
    pub fn acl() -> CollId {
        id("sys/acl", Policy::Strong)
    }

    /// Tickets that are out.
    pub fn invite() -> CollId {
        id("sys/invite", Policy::Strong)
    }

    /// Writers whose history ends at a number.
    pub fn cut() -> CollId {
        id("sys/cut", Policy::Strong)
    }

    /// Parameters of the space.
    pub fn meta() -> CollId {
        id("sys/meta", Policy::Strong)
    }

    /// Names of collections, pinned by the home.
    pub fn name() -> CollId {
        id("sys/name", Policy::Strong)
    }

    /// Results of proposals.
    pub fn prop() -> CollId {
        id("sys/prop", Policy::Strong)
    }

    /// Descriptors of collections. Any writer adds to it and none removes: an id names its descriptor.
    pub fn coll() -> CollId {
        id("sys/coll", Policy::GSet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: WriterId = WriterId([0; 24]);
    const A: WriterId = WriterId([1; 24]);
    const B: WriterId = WriterId([2; 24]);

    #[track_caller]
    fn check_rule(policy: Policy, byte: u8, own: bool, others: bool) {
        let coll = Descriptor::new("things", policy).expect("a name").id();
        let rule = coll.rule();
        assert!(rule.is_known());
        assert_eq!((rule, rule.byte()), (policy.rule(), byte));
        assert_eq!((rule.may_supersede(&A, &A), rule.may_supersede(&A, &B)), (own, others));
        assert!(rule.may_supersede(&HOME, &A), "the home may always");
    }

    #[test]
    fn rule_of_a_policy_stands_in_the_collections_id() {
        for policy in [Policy::Lww, Policy::Mv, Policy::Copies, Policy::Map, Policy::OrSet] {
            check_rule(policy, 0, true, true);
        }
        for policy in [Policy::GCounter, Policy::PnCounter] {
            check_rule(policy, 1, true, false);
        }
        for policy in [Policy::GSet, Policy::TwoPhaseSet, Policy::Text, Policy::List] {
            check_rule(policy, 2, false, false);
        }
        check_rule(Policy::Strong, 4, true, true);
        assert!(Policy::Strong.rule().home_only() && !Policy::Lww.rule().home_only());
    }

    #[test]
    fn policies_come_back_from_their_names_and_codes() {
        for (i, (policy, name)) in Policy::NAMES.into_iter().enumerate() {
            assert_eq!((policy as usize, policy.to_string().as_str()), (i, name));
            assert_eq!((name.parse(), Policy::from_code(i as u64)), (Ok(policy), Some(policy)));
        }
        assert_eq!(Policy::from_code(12), None);
        assert!("LWW".parse::<Policy>().is_err());
    }

    #[test]
    fn descriptor_comes_back_and_everything_in_it_is_in_the_id() {
        let descriptor =
            Descriptor { params: vec![1], ..Descriptor::new("things", Policy::Mv).expect("a name") };
        assert_eq!(Descriptor::decode(&descriptor.encode()), Ok(descriptor.clone()));
        let other_params = Descriptor { params: vec![], ..descriptor.clone() };
        let other_name = Descriptor { name: "thing".to_owned(), ..descriptor.clone() };
        let other_policy = Descriptor { policy: Policy::Lww, ..descriptor.clone() };
        for other in [other_params, other_name, other_policy] {
            assert_ne!(other.id().0[1..], descriptor.id().0[1..]);
        }
    }

    #[test]
    fn names_that_could_mislead_are_refused() {
        let longest = "x".repeat(NAME_LEN_MAX);
        assert!(Descriptor::new(&longest, Policy::Lww).is_ok());
        for name in ["", "a~b", "a\nb", &format!("{longest}x")] {
            assert_eq!(Descriptor::new(name, Policy::Lww), Err(Error::Name));
            let stored = Descriptor { name: name.to_owned(), policy: Policy::Lww, params: vec![] };
            assert_eq!(Descriptor::decode(&stored.encode()), Err(Error::Name));
        }
    }

    #[test]
    fn system_collections_are_the_homes_but_for_descriptors() {
        for coll in [system::acl, system::invite, system::cut, system::meta, system::name, system::prop] {
            assert!(coll().rule().home_only());
        }
        assert_eq!(system::coll().rule(), Rule::new(Supersede::HomeOnly, Writers::Anyone));
    }
}
