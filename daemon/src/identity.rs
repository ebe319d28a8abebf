//! Who this device is: a key made once, and the name people know it by.

use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crdt::{DeviceId, DeviceKey};

/// The file of the device key in a data directory.
pub const FILE_NAME: &str = "identity.key";

/// The device: its key, and so its id.
#[derive(Clone)]
pub struct Identity {
    seed: [u8; 32],
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `init` has not run here.
    #[error("{path} does not exist: the directory holds no replica yet")]
    Missing {
        /// Where it should be.
        path: String,
    },
    /// `init` ran here before, and a key is never overwritten.
    #[error("{path} exists: the directory is initialised already")]
    Exists {
        /// Where it is.
        path: String,
    },
    /// Not what `init` wrote.
    #[error("{path} is damaged: a device key is 64 hexadecimal digits")]
    Damaged {
        /// Where it is.
        path: String,
    },
    /// Others could read the key.
    #[error("{path} can be read by others (mode {mode:o}); chmod 600 it")]
    Exposed {
        /// Where it is.
        path: String,
        /// Its permissions.
        mode: u32,
    },
    /// The disk.
    #[error("cannot {action} {path}: {source}")]
    Disk {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: String,
        /// What the system answered.
        source: std::io::Error,
    },
}

impl Identity {
    /// Makes a new device in `data`, which is created if it is not there.
    pub fn create(data: &Path) -> Result<Identity, Error> {
        let path = data.join(FILE_NAME);
        let shown = || path.display().to_string();
        let disk = |action, source| Error::Disk { action, path: path.display().to_string(), source };
        std::fs::create_dir_all(data).map_err(|source| disk("create the directory of", source))?;
        let seed = crate::clock::seed();
        let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let mut file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                return Err(Error::Exists { path: shown() });
            }
            Err(source) => return Err(disk("create", source)),
        };
        let text = format!("{}\n", data_encoding::HEXLOWER.encode(&seed));
        file.write_all(text.as_bytes()).map_err(|source| disk("write", source))?;
        // A device that forgets its key is another device: the key is on the disk before anything is signed.
        file.sync_all().map_err(|source| disk("flush", source))?;
        let dir = std::fs::File::open(data).map_err(|source| disk("open the directory of", source))?;
        dir.sync_all().map_err(|source| disk("flush the directory of", source))?;
        Ok(Identity { seed })
    }

    /// The device of `data`.
    pub fn load(data: &Path) -> Result<Identity, Error> {
        let path = data.join(FILE_NAME);
        let shown = || path.display().to_string();
        let disk = |action, source| Error::Disk { action, path: path.display().to_string(), source };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::Missing { path: shown() });
            }
            Err(source) => return Err(disk("read", source)),
        };
        let mode = std::fs::metadata(&path).map_err(|source| disk("read", source))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(Error::Exposed { path: shown(), mode: mode & 0o777 });
        }
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes());
        match bytes.ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()) {
            Some(seed) => Ok(Identity { seed }),
            None => Err(Error::Damaged { path: shown() }),
        }
    }

    /// The key that signs for this device.
    pub fn key(&self) -> DeviceKey {
        DeviceKey::from_seed(self.seed)
    }

    /// The id peers know this device by.
    pub fn device(&self) -> DeviceId {
        self.key().id()
    }

    /// The secret half, for the endpoint's handshakes.
    pub(crate) fn seed(&self) -> &[u8; 32] {
        &self.seed
    }
}

/// The name of this machine, for a device nobody named.
pub fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "strandline".to_string() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_device_keeps_its_id_and_its_key_is_its_own() {
        let data = Scratch::new("identity");
        let made = Identity::create(data.path()).unwrap();
        let read = Identity::load(data.path()).unwrap();
        assert_eq!(made.device(), read.device());
        let mode = std::fs::metadata(data.path().join(FILE_NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(matches!(Identity::create(data.path()), Err(Error::Exists { .. })));
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let data = Scratch::new("identity-exposed");
        Identity::create(data.path()).unwrap();
        let path = data.path().join(FILE_NAME);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Identity::load(data.path()), Err(Error::Exposed { mode: 0o644, .. })));
    }

    #[test]
    fn a_damaged_key_is_an_error_and_not_another_device() {
        let data = Scratch::new("identity-damaged");
        Identity::create(data.path()).unwrap();
        std::fs::write(data.path().join(FILE_NAME), "abc\n").unwrap();
        assert!(matches!(Identity::load(data.path()), Err(Error::Damaged { .. })));
    }
}
