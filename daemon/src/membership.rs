//! What this device was told of its place in a space: it is a member, was revoked, is leaving, or has left.

use std::fmt;

/// The local note that holds it.
pub(crate) const NOTE: &[u8] = b"local/membership";

/// This device's place in a space. Only the home decides on it; what it last said is remembered here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Membership {
    /// Nothing else was heard.
    #[default]
    Member,
    /// The home says that it took this device out.
    Revoked,
    /// This device asked to be taken out, by a proposal of this id, and has no answer yet.
    Leaving([u8; 16]),
    /// It is out, as it asked.
    Left,
}

impl Membership {
    /// Whether anything of the space goes to or comes from other devices.
    pub fn syncs(self) -> bool {
        self != Membership::Left
    }

    /// The bytes of the note; none for a member, who needs no note.
    pub(crate) fn encode(self) -> Vec<u8> {
        match self {
            Membership::Member => Vec::new(),
            Membership::Revoked => b"revoked".to_vec(),
            Membership::Leaving(id) => [b"leaving ".as_slice(), &id].concat(),
            Membership::Left => b"left".to_vec(),
        }
    }

    /// What a note says. One that says nothing sensible is as good as none: the home is asked again.
    pub(crate) fn decode(note: Option<&[u8]>) -> Membership {
        match note {
            Some(b"revoked") => Membership::Revoked,
            Some(b"left") => Membership::Left,
            Some(note) => {
                let id = note.strip_prefix(b"leaving ").and_then(|id| id.try_into().ok());
                id.map_or(Membership::Member, Membership::Leaving)
            }
            None => Membership::Member,
        }
    }

    /// What can be done about not being a member.
    pub(crate) fn cure(self) -> &'static str {
        match self {
            Membership::Member => "",
            Membership::Revoked | Membership::Left => {
                "everything here can still be read and exported; to sync again, ask for a ticket at the home \
                 (strandline space invite) and join with it"
            }
            Membership::Leaving(_) => "finish it with the home in reach: strandline space leave",
        }
    }
}

impl fmt::Display for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Membership::Member => "member",
            Membership::Revoked => "revoked",
            Membership::Leaving(_) => "leaving",
            Membership::Left => "left",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_comes_back_as_it_went() {
        for place in [Membership::Revoked, Membership::Leaving([7; 16]), Membership::Left] {
            assert_eq!(Membership::decode(Some(&place.encode())), place);
        }
        assert!(Membership::Member.encode().is_empty(), "an empty note is none");
        for note in [None, Some(b"".as_slice()), Some(b"leaving x")] {
            assert_eq!(Membership::decode(note), Membership::Member);
        }
    }
}
