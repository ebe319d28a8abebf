//! The winner at its key, and each loser beside it, under a name of its own.

use crate::clock::Hlc;
use crate::error::KeyProblem;
use crate::id::WriterId;
use crate::key::{self, Element};
use crate::view::lww::{Live, lww};

/// What stands between a key and whose copy it is.
pub const MARK: &str = "~conflict~";

/// Digits of a writer in the name of a copy, while they tell the copies apart.
const WRITER_DIGITS: usize = 8;

/// The most that the name of a copy is longer than its key: a new last element, the mark, all of a writer, a time.
pub const NAME_ROOM: usize = 2 + MARK.len() + 2 * 24 + 1 + 20;

/// A live write that lost, and the key it is shown at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy<'a> {
    /// Its encoded key.
    pub key: Vec<u8>,
    /// The write.
    pub live: &'a Live,
}

/// The copies of a key, the highest first; of the same live dots always the same names.
pub fn copies<'a>(key: &[u8], live: &'a [Live]) -> Result<Vec<Copy<'a>>, KeyProblem> {
    let Some(reading) = lww(live) else { return Ok(Vec::new()) };
    let name = |live: &Live, digits: usize| name(&live.dot.writer, live.hlc, digits);
    let is_like = |a: &Live, b: &Live| a.dot != b.dot && name(a, WRITER_DIGITS) == name(b, WRITER_DIGITS);
    let copy = |loser: &'a Live| {
        let is_shared = reading.losers.iter().any(|other| is_like(loser, other));
        let digits = if is_shared { 2 * WriterId::LEN } else { WRITER_DIGITS };
        Ok(Copy { key: beside(key, &name(loser, digits))?, live: loser })
    };
    reading.losers.iter().copied().map(copy).collect()
}

/// The key that a copy's name belongs to; none if it is no such name, as that of every key somebody may write to.
pub fn original(key: &[u8]) -> Option<Vec<u8>> {
    let mut elements = key::decode(key).ok()?;
    let Some(Element::Text(last)) = elements.last_mut() else { return None };
    let (before, after) = last.rsplit_once(MARK)?;
    let (writer, hlc) = after.split_once('~')?;
    let is_hex = |digit: u8| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit);
    let is_writer = [WRITER_DIGITS, 2 * WriterId::LEN].contains(&writer.len()) && writer.bytes().all(is_hex);
    let is_hlc = hlc.parse::<u64>().is_ok_and(|number| number.to_string() == hlc);
    if !is_writer || !is_hlc {
        return None;
    }
    *last = before.to_owned();
    if last.is_empty() && elements.len() > 1 {
        elements.pop();
    }
    key::encode(&elements).ok()
}

fn name(writer: &WriterId, hlc: Hlc, digits: usize) -> String {
    format!("{MARK}{}~{}", &writer.to_string()[..digits], hlc.0)
}

/// The key with `name` after its last text, or as an element of its own after anything else.
fn beside(key: &[u8], name: &str) -> Result<Vec<u8>, KeyProblem> {
    let mut elements = key::decode(key)?;
    match elements.last_mut() {
        Some(Element::Text(last)) if !last.is_empty() => last.push_str(name),
        _ => elements.push(Element::Text(name.to_owned())),
    }
    key::encode(&elements)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::Payload;
    use crate::id::Dot;

    fn live(writer: [u8; 24], hlc: u64) -> Live {
        Live { dot: Dot::new(WriterId(writer), 1), hlc: Hlc(hlc), payload: Payload::Inline(vec![]) }
    }

    fn names(key: &[u8], live: &[Live]) -> Vec<String> {
        copies(key, live).expect("short").iter().map(|copy| key::display(&copy.key).to_string()).collect()
    }

    #[test]
    fn each_loser_has_a_name_beside_its_key() {
        let live = [live([0xa1; 24], 7), live([0xb2; 24], 9), live([0xc3; 24], 3)];
        let plain = key::plain(b"mode");
        let expected = ["mode~conflict~a1a1a1a1~7", "mode~conflict~c3c3c3c3~3"];
        for (name, expected) in names(&plain, &live).iter().zip(expected) {
            assert!(name.contains(expected), "{name}");
        }
        for copy in copies(&plain, &live).expect("short") {
            assert_eq!(original(&copy.key).as_deref(), Some(plain.as_slice()));
        }
        assert_eq!(names(&plain, &live[..1]), Vec::<String>::new());
    }

    #[test]
    fn copies_with_the_same_short_name_are_told_apart() {
        let mut later_run = [0xa1; 24];
        later_run[20] = 0;
        let live = [live([0xa1; 24], 7), live(later_run, 7), live([0xb2; 24], 9)];
        let names = names(&key::plain(b"mode"), &live);
        assert_ne!(names[0], names[1]);
        assert!(names[0].contains(&"a1".repeat(24)));
    }

    #[test]
    fn key_that_ends_in_a_number_gets_one_element_more() {
        let live = [live([0xa1; 24], 7), live([0xb2; 24], 9)];
        for last in [Element::Int(4), Element::Text(String::new())] {
            let key = key::encode(&[Element::Text("a".to_owned()), last]).expect("short");
            let copy = copies(&key, &live).expect("short").remove(0);
            assert_eq!(original(&copy.key), Some(key));
        }
    }

    #[test]
    fn copy_of_a_key_with_the_mark_in_its_name_belongs_to_that_key() {
        let live = [live([0xa1; 24], 7), live([0xb2; 24], 9)];
        for name in ["a~conflict~b", "a~conflict~a1a1a1a1~07"] {
            let key = key::plain(name.as_bytes());
            let copy = copies(&key, &live).expect("short").remove(0);
            assert_eq!(original(&copy.key), Some(key), "{name}");
        }
    }

    #[test]
    fn other_names_are_no_copies() {
        for name in ["mode", "a~conflict~b", "a~conflict~a1a1a1a1~07", "a~conflict~A1A1A1A1~7"] {
            assert_eq!(original(&key::plain(name.as_bytes())), None, "{name}");
        }
    }
}
