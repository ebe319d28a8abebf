//! D1: damage at rest is never shown: a reader gets what was written or an error, `verify` names what is wrong, and what
//! the home has is fetched from there.

use super::{Breach, breach};

/// A folder whose bytes had changed was called whole, and could not be used.
pub fn overlooked(name: &str, why: &str) -> Breach {
    breach("D1", format!("{name} was damaged, verify calls it whole, and {why}"))
}

/// A pack had changed, the home is whole, and nothing came of it.
pub fn unhealed(name: &str, why: &str) -> Breach {
    breach("D1", format!("{name} is damaged in a pack and was not healed by whom it talks with: {why}"))
}
