//! I8: a base never goes back, and there is one Handle for each version.

use super::{Look, Verdict, breach};

/// The replica's base is the one Handle of its version.
pub fn check(look: &Look<'_>) -> Verdict {
    let base = look.replica.base();
    if base.version > 0 && look.book.handle_of(base.version).is_some_and(|known| known != base) {
        return Err(breach("I8", format!("{} has another Handle of version {}", look.name, base.version)));
    }
    Ok(())
}

/// The base is not older than when it was last looked at.
pub fn only_rises(look: &Look<'_>, version: u64) -> Verdict {
    let now = look.replica.base().version;
    if now >= version {
        return Ok(());
    }
    Err(breach("I8", format!("{} went from version {version} back to {now}", look.name)))
}
