//! What an import reads from, and how far it has come.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::rows::Format;
use super::spec::KeySpec;
use crate::cli::failure::Failure;
use crate::cli::target::Target;

/// Enough of a file to tell it from another of its name and size.
const HEAD_LEN: u64 = 1 << 16;

/// A file to import, and the name under which the daemon remembers how far it came.
pub(crate) struct Source {
    path: PathBuf,
    format: Format,
    len: u64,
    id: String,
}

impl Source {
    /// The same file into the same collection under the same key is the same source, wherever it lies.
    pub(crate) fn examine(
        path: &Path,
        format: Option<Format>,
        target: &Target,
        key: &KeySpec,
    ) -> Result<Source, Failure> {
        let format = format.or_else(|| Format::of(path)).ok_or_else(|| {
            Failure::usage(format!("{} ends neither in .csv nor .ndjson", path.display()))
                .cure("--format csv or --format ndjson")
        })?;
        let unreadable = |error: std::io::Error| Failure::file("read", path, &error);
        let file = File::open(path).map_err(unreadable)?;
        let len = file.metadata().map_err(unreadable)?.len();
        let mut head = Vec::new();
        file.take(HEAD_LEN).read_to_end(&mut head).map_err(unreadable)?;
        let name = path.file_name().unwrap_or_default();
        let mut hasher = blake3::Hasher::new_derive_key("strandline v1 import source");
        for part in [
            target.collection.as_bytes(),
            key.as_str().as_bytes(),
            name.as_encoded_bytes(),
            &len.to_be_bytes(),
            &head,
        ] {
            // With its length before it, no part can be read as the end of the one before.
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        let id = hasher.finalize().to_hex()[..32].to_string();
        Ok(Source { path: path.to_path_buf(), format, len, id })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

/// How far a source came: everything before `offset` is in the space, `rows` rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    pub(crate) rows: u64,
}

impl Place {
    pub(crate) fn parse(text: &str) -> Result<Place, Failure> {
        text.split_once(' ')
            .and_then(|(offset, rows)| Some(Place { offset: offset.parse().ok()?, rows: rows.parse().ok()? }))
            .ok_or_else(|| {
                Failure::failed(
                    "protocol",
                    format!("the place of an earlier import cannot be read: {text:?}"),
                )
                .cure("import again with --restart")
            })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.offset, self.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back() {
        let place = Place { offset: 1_234, rows: 56 };
        assert_eq!(Place::parse(&place.to_string()).expect("a place"), place);
        assert!(Place::parse("1234").is_err());
    }
}
