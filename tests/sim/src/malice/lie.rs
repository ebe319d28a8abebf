//! `Lie`: what a member can say that is not so, where it can say it, and what it may get for an answer.

use sync::ByeCode::{
    self, Flood, Forged, Fork, HandleConflict, NodesMissing, NotAuthorised, Protocol, TooLarge, UnknownSpace,
    Version,
};
use sync::Frame;

use Answer::{Closes, GoesOn, MayClose};
use Place::{Ack, Anytime, Commits, Cover, Data, Handle, Hello, Open};

/// Declares the lies in the order of their numbers, each with its place and its answer.
macro_rules! lies {
    ($($(#[$doc:meta])* $name:ident: $place:ident => $answer:expr;)*) => {
        /// One kind of lie.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Lie { $($(#[$doc])* $name,)* }

        impl Lie {
            /// All of them, in the order of their numbers.
            pub const ALL: &[Lie] = &[$(Lie::$name,)*];

            pub(super) fn place(self) -> Place {
                match self { $(Lie::$name => $place,)* }
            }

            /// What whoever hears it may do.
            pub fn answer(self) -> Answer {
                match self { $(Lie::$name => $answer,)* }
            }
        }
    };
}

/// What whoever hears a lie may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It closes the connection at once, with one of these codes.
    Closes(&'static [ByeCode]),
    /// It closes the connection with one of these codes where the lie meets something it contradicts.
    MayClose(&'static [ByeCode]),
    /// It refuses or ignores what was said, or waits for what never comes, and the conversation goes on.
    GoesOn,
}

/// The frames that give occasion to a lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Hello,
    Open,
    Cover,
    Commits,
    Ack,
    Handle,
    Data,
    /// Any frame after the Open.
    Anytime,
}

impl Place {
    pub(super) fn fits(self, frame: &Frame) -> bool {
        match frame {
            Frame::Hello(_) => self == Hello,
            Frame::Open(_) => self == Open,
            Frame::Bye(_) => false,
            Frame::Cover(_) => matches!(self, Cover | Anytime),
            Frame::Commits(_) => matches!(self, Commits | Anytime),
            Frame::Ack(_) => matches!(self, Ack | Anytime),
            Frame::Handle(_) => matches!(self, Handle | Anytime),
            Frame::Data(_) => matches!(self, Data | Anytime),
            _ => self == Anytime,
        }
    }
}

lies! {
    /// M1: Hello names another device than the connection's.
    Impostor: Hello => Closes(&[NotAuthorised]);
    /// M2: Hello speaks another protocol.
    OtherProtocol: Hello => Closes(&[Version]);
    /// M3: Hello takes no frame of the size that every peer must take.
    Narrow: Hello => Closes(&[Protocol]);
    /// M4: another frame comes before Hello.
    EarlyFrame: Hello => Closes(&[Protocol]);
    /// M5: Open names another space.
    OtherSpace: Open => Closes(&[UnknownSpace]);
    /// M6: Open shows other bytes for the Handle of its version.
    OtherHandle: Open => MayClose(&[HandleConflict]);
    /// M7: Open lists other ids at the places of writers.
    FalseTips: Open => MayClose(&[Fork]);
    /// M8: Open lists writers that do not exist, page after page, without end.
    VastTail: Open => Closes(&[Flood]);
    /// M9: Open shows a Handle of the last version there can be.
    BoundlessBase: Open => GoesOn;
    /// M10: Cover claims every writer up to the last number there can be.
    BoundlessCover: Cover => GoesOn;
    /// M11: Cover says that others' writers forked.
    FalseFork: Cover => MayClose(&[Fork]);
    /// M12: Cover says that nothing is held of what was listed.
    Rewind: Cover => GoesOn;
    /// M13: Cover shows other ids at the places of writers.
    FalseCover: Cover => MayClose(&[Fork]);
    /// M14: commits come without their seals.
    NoSeals: Commits => GoesOn;
    /// M15: the liar seals the commits of others.
    ForgedSeals: Commits => GoesOn;
    /// M16: commits come with seals of earlier ones.
    ReplayedSeals: Commits => GoesOn;
    /// M17: a value in a commit of another is changed.
    ChangedCommit: Commits => MayClose(&[Fork]);
    /// M18: commits come in reverse.
    Reversed: Commits => GoesOn;
    /// M19: the first commits of a unit are left out.
    Headless: Commits => GoesOn;
    /// M20: a commit by a writer of another device, sealed by the liar.
    ForeignWriter: Anytime => GoesOn;
    /// M21: the same, opened with the liar's key.
    ForeignKey: Anytime => GoesOn;
    /// M22: a commit by a device that nobody admitted.
    Stranger: Anytime => GoesOn;
    /// M23: a commit by a home, without a Handle.
    HomeWriter: Anytime => GoesOn;
    /// M24: a commit that depends on one that does not exist.
    MissingDeps: Anytime => GoesOn;
    /// M25: a commit that supersedes dots that do not exist.
    SupersedesNothing: Anytime => GoesOn;
    /// M26: a commit made on a base that is far ahead.
    FutureBase: Anytime => GoesOn;
    /// M27: a commit whose predecessors do not exist.
    Gap: Anytime => GoesOn;
    /// M28: a commit that names a value whose bytes never come.
    WithheldValue: Anytime => GoesOn;
    /// M29: a commit that names a value of another length than it has.
    WrongLength: Anytime => GoesOn;
    /// M30: a commit older than the one before it.
    TimeFalls: Anytime => GoesOn;
    /// M31: a commit that writes what only the home may write.
    HomeOnly: Anytime => GoesOn;
    /// M32: a commit of another space.
    OtherSpaceCommit: Anytime => GoesOn;
    /// M33: a valid commit from a clock in 2099.
    Poison: Anytime => GoesOn;
    /// M34: a commit at a place that a commit of another already has.
    TakenPlace: Commits => MayClose(&[Fork]);
    /// M35: an Ack for commits that were never received.
    FalseAck: Ack => GoesOn;
    /// M36: an Ack for all that there can be, on the last base there can be.
    BoundlessAck: Ack => GoesOn;
    /// M37: good commits are refused.
    FalseNack: Anytime => GoesOn;
    /// M38: a Handle from before, again.
    OldHandle: Anytime => MayClose(&[HandleConflict]);
    /// M39: the next Handle, with a signature of chance.
    UnsignedHandle: Anytime => Closes(&[Forged]);
    /// M40: the next Handle, signed by the liar.
    OwnHandle: Anytime => Closes(&[Forged]);
    /// M41: the same, with a ring record that the liar signed for itself.
    OwnRing: Anytime => Closes(&[Forged]);
    /// M42: a list of changes with other ids.
    FalseChanges: Handle => GoesOn;
    /// M43: a list of changes that leaves writers out.
    OmittedChanges: Handle => GoesOn;
    /// M44: a Handle without the home's commits.
    OmittedHomeCommits: Handle => GoesOn;
    /// M45: a Handle with a changed commit of the home.
    ChangedHomeCommits: Handle => MayClose(&[Forged, Fork]);
    /// M46: another Handle in the place of the one that is due: newer roots, old signature.
    OtherRoots: Handle => MayClose(&[Forged, HandleConflict]);
    /// M47: a node with other bytes.
    WrongNode: Data => MayClose(&[Forged]);
    /// M48: a node that nobody asked for.
    UnaskedNode: Anytime => Closes(&[Protocol]);
    /// M49: what was asked for is said to be missing.
    FalseMissing: Data => MayClose(&[NodesMissing]);
    /// M50: more nodes are wanted than anyone answers for.
    WantsFlood: Anytime => Closes(&[Flood]);
    /// M51: nodes are wanted that do not exist.
    WantsNothing: Anytime => GoesOn;
    /// M52: values come that no commit will name, more than are kept.
    ValueFlood: Anytime => Closes(&[Flood]);
    /// M53: a Beat of another state.
    FalseBeat: Anytime => GoesOn;
    /// M54: a length that is over every limit.
    EndlessLength: Anytime => Closes(&[TooLarge]);
    /// M55: a frame of a number that means nothing.
    UnknownFrame: Anytime => Closes(&[Protocol]);
    /// M56: a payload of chance.
    Garbage: Anytime => Closes(&[Protocol]);
    /// M57: a payload with one byte more.
    Trailing: Anytime => Closes(&[Protocol, TooLarge]);
    /// M58: Hello once more.
    SecondHello: Anytime => Closes(&[Protocol]);
    /// M59: a Join where a session is under way.
    JoinInside: Anytime => Closes(&[Protocol]);
    /// M60: a frame that was said before, in this conversation or another.
    Replay: Anytime => MayClose(&[Protocol, Fork, HandleConflict, NodesMissing]);
    /// M61: two commits of one dot, each to some.
    Equivocation: Anytime => MayClose(&[Fork]);
    /// M62: a commit that supersedes dots of a device that nobody admitted: they never come, so it is valid.
    NamesStrangers: Anytime => GoesOn;
    /// M63: questions about writers, more than anyone answers.
    AsksFlood: Anytime => Closes(&[Flood]);
    /// M64: a question about a writer that does not exist.
    AsksNothing: Anytime => GoesOn;
    /// M65: a true history of another, for which nobody asked.
    UnaskedAnswer: Anytime => GoesOn;
    /// M66: a proof that another forked, of which the liar sealed one half.
    FalseProof: Anytime => Closes(&[Forged]);
    /// M67: a true proof against a device that nobody admitted.
    ForeignProof: Anytime => GoesOn;
    /// M68: a valid commit that means nothing to the policy of its collection.
    Nonsense: Anytime => GoesOn;
    /// M69: a node of a tree that is as it should be, but without one of its keys.
    OmittedKey: Data => MayClose(&[Forged]);
    /// M70: an answer leaves out some of the nodes that were asked for.
    OmittedNodes: Data => GoesOn;
    /// M71: a strand in the place of a seal, to a commit that the liar made up and sealed.
    FalseStrand: Commits => GoesOn;
}

impl Lie {
    /// Those that are one member's alone: two commits of one dot end in proofs and cuts.
    pub fn alone() -> Vec<Lie> {
        Lie::ALL.iter().copied().filter(|lie| *lie != Lie::Equivocation).collect()
    }

    /// Those that leave a conversation standing and are told where the truth was due, and two commits of one dot.
    pub fn subtle() -> Vec<Lie> {
        let is_subtle = |lie: &Lie| {
            lie.place() != Anytime && !matches!(lie.answer(), Closes(_)) || *lie == Lie::Equivocation
        };
        Lie::ALL.iter().copied().filter(is_subtle).collect()
    }

    /// Its number in `docs/testing.md`.
    pub fn number(self) -> usize {
        self as usize + 1
    }
}
