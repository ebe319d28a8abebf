//! The names of things: spaces, devices, writers, commits, collections, and the dot that names one write.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};

use crate::error::Error;

/// The hash that names: BLAKE3 with its own context for each kind of thing, so that bytes of one kind never
/// have the name of another.
pub fn derive(context: &str, bytes: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(&full_context(context));
    hasher.update(bytes);
    *hasher.finalize().as_bytes()
}

/// The two on the path of every write cost no allocation.
fn full_context(context: &str) -> Cow<'static, str> {
    match context {
        "commit" => Cow::Borrowed("strandline v1 commit"),
        "body" => Cow::Borrowed("strandline v1 body"),
        _ => Cow::Owned(format!("strandline v1 {context}")),
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $len:literal, $what:literal) => {
        $(#[$doc])*
        ///
        /// Displays as hex; debug output is cut to what a person compares.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Its length in bytes.
            pub const LEN: usize = $len;

            /// All zeros: stands for "none" where the format says so.
            pub const ZERO: $name = $name([0; $len]);

            /// The bytes of the id.
            pub fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl From<[u8; $len]> for $name {
            fn from(bytes: [u8; $len]) -> $name {
                $name(bytes)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), HEXLOWER.encode(&self.0[..4]))
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<$name, Error> {
                parse_hex(text).map($name).ok_or(Error::Text { what: $what })
            }
        }
    };
}

id!(/// The unit of sharing, named by the hash of its genesis.
    SpaceId, 32, "space id");
id!(/// A device, named by the start of its public key's hash.
    DeviceId, 16, "device id");
id!(/// One run of one device writing one class of data, or a home: device, run, class.
    WriterId, 24, "writer id");
id!(/// The hash of a commit's header, and so of its writer's whole history up to it.
    CommitId, 32, "commit id");
id!(/// A collection: its rule byte, then the start of its descriptor's hash.
    CollId, 16, "collection id");

fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?.try_into().ok()
}

/// How urgent a writer's data is. A link sends the most urgent first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Goes before everything else.
    Critical = 0,
    /// What nobody said anything about.
    #[default]
    Normal = 1,
    /// Goes when nothing else has to.
    Bulk = 2,
}

impl Class {
    /// All of them, the most urgent first.
    pub const ALL: [Class; 3] = [Class::Critical, Class::Normal, Class::Bulk];

    /// The class a byte stands for, if any.
    pub fn from_byte(byte: u8) -> Option<Class> {
        Class::ALL.get(usize::from(byte)).copied()
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Class::Critical => "critical",
            Class::Normal => "normal",
            Class::Bulk => "bulk",
        })
    }
}

impl FromStr for Class {
    type Err = Error;

    fn from_str(text: &str) -> Result<Class, Error> {
        let named = |class: &Class| class.to_string() == text;
        Class::ALL.into_iter().find(named).ok_or(Error::Text { what: "class" })
    }
}

impl DeviceId {
    /// The device that holds the other half of this ed25519 public key.
    pub fn of(public: &[u8; 32]) -> DeviceId {
        let hash = blake3::hash(public);
        let mut id = [0; 16];
        id.copy_from_slice(&hash.as_bytes()[..16]);
        DeviceId(id)
    }
}

impl WriterId {
    /// The writer of one run of a device and one class. `run` is drawn anew each time a writer is opened: a
    /// restored backup or a copied folder must never continue an old one.
    pub fn new(device: DeviceId, run: [u8; 7], class: Class) -> WriterId {
        let mut id = [0; 24];
        id[..16].copy_from_slice(&device.0);
        id[16..23].copy_from_slice(&run);
        id[23] = class as u8;
        WriterId(id)
    }

    /// The writer of a home, under a generation drawn anew at each start.
    pub fn home(generation: [u8; 8]) -> WriterId {
        let mut id = [0; 24];
        id[16..].copy_from_slice(&generation);
        WriterId(id)
    }

    /// The device that writes; zero for a home.
    pub fn device(&self) -> DeviceId {
        let mut id = [0; 16];
        id.copy_from_slice(&self.0[..16]);
        DeviceId(id)
    }

    /// The class it writes; none for a home and for an id that no honest device makes.
    pub fn class(&self) -> Option<Class> {
        if self.is_home() { None } else { Class::from_byte(self.0[23]) }
    }

    /// Whether a home writes under this id.
    pub fn is_home(&self) -> bool {
        self.0[..16] == [0; 16]
    }
}

/// The name of one commit, and of every write in it: the n-th of its writer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dot {
    /// Who wrote it.
    pub writer: WriterId,
    /// Its number: 1, 2, 3, without gaps.
    pub seq: u64,
}

impl Dot {
    /// Length of a dot inside a physical key.
    pub const LEN: usize = 32;

    /// The `seq`-th commit of `writer`.
    pub fn new(writer: WriterId, seq: u64) -> Dot {
        Dot { writer, seq }
    }

    /// Writer, then number: bytes that sort as dots do.
    pub fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[..24].copy_from_slice(&self.writer.0);
        bytes[24..].copy_from_slice(&self.seq.to_be_bytes());
        bytes
    }

    /// The dot that [`Dot::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8; 32]) -> Dot {
        let mut writer = [0; 24];
        let mut seq = [0; 8];
        writer.copy_from_slice(&bytes[..24]);
        seq.copy_from_slice(&bytes[24..]);
        Dot { writer: WriterId(writer), seq: u64::from_be_bytes(seq) }
    }
}

impl fmt::Display for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.writer, self.seq)
    }
}

impl fmt::Debug for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = &self.writer.0;
        write!(f, "{}.{}:{}", HEXLOWER.encode(&bytes[..2]), HEXLOWER.encode(&bytes[16..18]), self.seq)
    }
}

impl FromStr for Dot {
    type Err = Error;

    fn from_str(text: &str) -> Result<Dot, Error> {
        let not_a_dot = || Error::Text { what: "dot" };
        let (writer, seq) = text.split_once(':').ok_or_else(not_a_dot)?;
        Ok(Dot { writer: writer.parse()?, seq: seq.parse().map_err(|_| not_a_dot())? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_part_equal_bytes() {
        assert_eq!(derive("commit", b"x"), blake3::derive_key("strandline v1 commit", b"x"));
        assert_eq!(derive("body", b"x"), blake3::derive_key("strandline v1 body", b"x"));
        assert_eq!(derive("seal", b"x"), blake3::derive_key("strandline v1 seal", b"x"));
    }

    #[test]
    fn writer_id_holds_device_run_and_class() {
        let device = DeviceId([7; 16]);
        for class in Class::ALL {
            let writer = WriterId::new(device, [1; 7], class);
            assert_eq!((writer.device(), writer.class(), writer.is_home()), (device, Some(class), false));
        }
        let home = WriterId::home([2; 8]);
        assert_eq!((home.device(), home.class(), home.is_home()), (DeviceId::ZERO, None, true));
        let mut unknown = WriterId::new(device, [1; 7], Class::Bulk);
        unknown.0[23] = 3;
        assert_eq!(unknown.class(), None);
    }

    #[test]
    fn ids_and_dots_come_back_from_their_text() {
        let dot = Dot::new(WriterId([0xab; 24]), 12);
        assert_eq!(dot.to_string().parse(), Ok(dot));
        assert_eq!(Dot::from_bytes(&dot.to_bytes()), dot);
        assert_eq!(SpaceId([0xcd; 32]).to_string().to_ascii_uppercase().parse(), Ok(SpaceId([0xcd; 32])));
        for text in ["", "ab", &"g".repeat(64), &"a".repeat(66)] {
            assert_eq!(text.parse::<SpaceId>(), Err(Error::Text { what: "space id" }));
        }
        for text in ["", ":", &format!("{}:", dot.writer), &format!("{}:x", dot.writer)] {
            assert!(text.parse::<Dot>().is_err());
        }
    }

    #[test]
    fn bytes_of_dots_sort_as_dots_do() {
        let dots = [(1, 2), (1, 256), (2, 1)].map(|(writer, seq)| Dot::new(WriterId([writer; 24]), seq));
        assert!(dots.is_sorted());
        assert!(dots.map(Dot::to_bytes).is_sorted());
    }
}
