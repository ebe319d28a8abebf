//! What tells a folder from its copies: the machine, and the folder's own place and birth on its file system.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use home::Fingerprint;

/// Of this folder. A copy or a restored backup has another one; a restart or a reboot does not change it.
///
/// The number of the device is left out: on many machines it changes with the order in which disks are found.
pub(crate) fn of(folder: &Path) -> io::Result<Fingerprint> {
    let metadata = std::fs::metadata(folder)?;
    // File systems without times of birth are told apart by the number alone.
    let born = metadata.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let born = born.map_or(0, |time| time.as_nanos());
    // A machine without an id, as containers are: there the folder must do.
    let machine = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let text = format!("{} {} {born}", machine.trim(), metadata.ino());
    Ok(Fingerprint(crdt::derive("folder fingerprint", text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_folder_keeps_its_fingerprint_and_a_copy_has_another() {
        let (a, b) = (Scratch::new("print"), Scratch::new("print"));
        assert_eq!(of(a.path()).unwrap(), of(a.path()).unwrap());
        assert_ne!(of(a.path()).unwrap(), of(b.path()).unwrap());
    }
}
