//! I16: the bytes moved for some changed entries are in proportion to them, not to the space.

use super::{Verdict, breach};

/// Bytes of a node, and of what one small commit costs with its seal, its acknowledgement and a row of the vector.
const NODE_LEN: u64 = 4 << 10;

/// Depth of the trees in these worlds.
const DEPTH: u64 = 3;

/// What greeting, acknowledging and adopting cost one conversation whatever changed: rows of tails and of one Handle.
const CONVERSATION_LEN: u64 = 24 << 10;

/// The most that one conversation may move for `changed` entries.
pub fn max(changed: u64) -> u64 {
    CONVERSATION_LEN + changed * DEPTH * NODE_LEN
}

/// `moved` bytes over `conversations` for `changed` entries.
pub fn check(space: usize, changed: u64, conversations: u64, moved: u64) -> Verdict {
    let max = conversations * max(changed);
    if moved <= max {
        return Ok(());
    }
    let what = format!(
        "s{space} moved {moved} bytes for {changed} entries in {conversations} conversations, over {max}"
    );
    Err(breach("I16", what))
}
