//! D1: damage at rest is never shown: a reader gets what was written or an error, and `verify` names what is wrong.

use super::{Breach, breach};

/// A folder whose bytes had changed was called whole, and could not be used.
pub fn overlooked(name: &str, why: &str) -> Breach {
    breach("D1", format!("{name} was damaged, verify calls it whole, and {why}"))
}
