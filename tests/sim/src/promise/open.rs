//! I20: every folder opens after whatever happened to it, copies included.

use super::{Breach, breach};

/// It does not, and nothing that went wrong with its disk just now explains it.
pub fn refused(name: &str, error: &str) -> Breach {
    breach("I20", format!("{name} does not open: {error}"))
}
