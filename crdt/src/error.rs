//! Why bytes, a commit, a key or a signature was refused.

use crate::id::WriterId;

/// Everything this crate refuses, one variant for each thing a caller does differently.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not the one spelling of any value.
    #[error("bytes are not canonical at offset {at}: {problem}")]
    Encoding {
        /// Offset of the item that was refused.
        at: usize,
        /// What is wrong with it.
        problem: Problem,
    },
    /// Over a limit that belongs to validity.
    #[error("{what} of {len} is over the limit of {max}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size.
        len: u64,
        /// The largest allowed.
        max: u64,
    },
    /// Written by software of another time: take it to that software, or bring this one up to date.
    #[error("format {found} of a {what} is not known to this software, which knows format {known}")]
    UnknownVersion {
        /// What carries the version.
        what: &'static str,
        /// The version it says.
        found: u64,
        /// The version this software reads and writes.
        known: u64,
    },
    /// Decodes, but no replica may take it.
    #[error("commit is invalid: {0}")]
    Invalid(#[from] Invalid),
    /// Not the encoding of a tuple, or a tuple without one.
    #[error("not a key: {0}")]
    Key(#[from] KeyProblem),
    /// The writer's chain is ahead of or behind this commit.
    #[error("commit {found} of writer {writer} does not follow commit {tip}")]
    Gap {
        /// The writer.
        writer: WriterId,
        /// The sequence number of the tip held.
        tip: u64,
        /// The sequence number offered.
        found: u64,
    },
    /// The right number on another chain: the writer has been two.
    #[error("writer {writer} has two histories at commit {seq}")]
    Fork {
        /// The writer.
        writer: WriterId,
        /// The sequence number of the predecessor that differs.
        seq: u64,
    },
    /// A signature that its key did not make.
    #[error("signature of a {what} does not verify")]
    BadSignature {
        /// What was signed.
        what: &'static str,
    },
    /// Signed well, but by a key or for a version that is not in force.
    #[error("{what} {n} is out of order in the ring")]
    Ring {
        /// The ring record or Handle.
        what: &'static str,
        /// Its number.
        n: u64,
    },
    /// Evidence that is no proof of what it says.
    #[error("evidence proves nothing: {reason}")]
    Unproven {
        /// Why not.
        reason: &'static str,
    },
    /// Text that a person gave and that does not parse.
    #[error("not a {what}")]
    Text {
        /// What it should have been.
        what: &'static str,
    },
    /// A collection's name that cannot be one.
    #[error("a collection's name is 1 to {max} bytes of text without ~ and control characters", max = crate::rule::NAME_LEN_MAX)]
    Name,
}

/// What is wrong with bytes that should have been canonical.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The bytes end inside an item.
    #[error("ends early")]
    Truncated,
    /// More bytes after the last item.
    #[error("bytes are left over")]
    LeftOver,
    /// An item of another kind than expected, or of a kind that is never used.
    #[error("unexpected kind of item")]
    Kind,
    /// A number not in its shortest form.
    #[error("number is not in its shortest form")]
    NotShortest,
    /// An array or byte string of another length than expected.
    #[error("unexpected length")]
    Length,
    /// A number that stands for nothing.
    #[error("value is out of range")]
    Range,
    /// A list out of order, or with an item twice.
    #[error("list is not in order")]
    Order,
    /// The list of blobs is not that of the mutations.
    #[error("blobs differ from those of the mutations")]
    Blobs,
    /// The body is not the one the header names.
    #[error("body does not match its hash")]
    BodyHash,
    /// Bytes that should be text.
    #[error("not UTF-8")]
    Utf8,
}

/// Which rule of validity a commit breaks: the same answer at every replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Sequence numbers start at 1.
    #[error("sequence number 0")]
    SeqZero,
    /// The class byte of the writer stands for none.
    #[error("unknown class of writer")]
    Class,
    /// `open` stands at 1 and nowhere else.
    #[error("open is missing at sequence number 1 or present after it")]
    Open,
    /// The key in `open` is not that of the device in the writer id.
    #[error("key in open does not belong to the device")]
    DeviceKey,
    /// A first commit has no predecessor, a later one has.
    #[error("prev is zero after sequence number 1 or not zero at it")]
    Prev,
    /// A key that is not canonical.
    #[error("key is not canonical")]
    Key,
    /// A dependency on its own writer.
    #[error("dependency on its own writer")]
    DepOwn,
    /// A dependency on a home's writer: sups name those, deps never.
    #[error("dependency on a home's writer")]
    DepHome,
    /// A dependency on a less urgent class, or on none.
    #[error("dependency on a less urgent class")]
    DepClass,
    /// A dot with sequence number 0.
    #[error("dot with sequence number 0")]
    DotZero,
    /// It supersedes itself or what its writer has not written yet.
    #[error("supersedes its own writer's future")]
    SupersedesFuture,
    /// A collection that only the home may write.
    #[error("only the home may write to this collection")]
    HomeOnly,
    /// A rule byte without meaning.
    #[error("unknown rule of a collection")]
    Rule,
    /// A writer's times only rise.
    #[error("time does not rise")]
    TimeFalls,
    /// A writer's bases never fall.
    #[error("base falls")]
    BaseFalls,
}

/// What is wrong with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyProblem {
    /// A tuple has 1 to 16 elements.
    #[error("a tuple has 1 to 16 elements")]
    Count,
    /// Longer than a key may be.
    #[error("longer than {max} bytes when encoded", max = crate::key::KEY_LEN_MAX)]
    TooLong,
    /// Not a number has no place in an order.
    #[error("NaN has no place in an order")]
    Nan,
    /// An integer of more than 255 bytes.
    #[error("an integer has at most 255 bytes")]
    BigInt,
    /// Another spelling than the one allowed, or no spelling at all.
    #[error("not canonical at byte {at}")]
    Spelling {
        /// Offset of the element.
        at: usize,
    },
}

impl Error {
    pub(crate) fn encoding(at: usize, problem: Problem) -> Error {
        Error::Encoding { at, problem }
    }
}
