//! The disk of the operating system: a folder, `pread`, `pwrite`, `fdatasync`, `flock`.
#![expect(clippy::disallowed_types, reason = "this is the door to the file system")]

use std::fs::{self, File as StdFile, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use crate::crash::Part;
use crate::{Disk, File};

/// Files hold private data: nobody but their owner may read them.
const FILE_MODE: u32 = 0o600;
/// The same for folders.
const DIR_MODE: u32 = 0o700;

/// A folder of the operating system.
#[derive(Clone, Debug)]
pub struct RealDisk {
    root: PathBuf,
}

/// A file of the operating system.
#[derive(Debug)]
pub struct RealFile {
    file: StdFile,
    part: Part,
}

/// A lock no other process or handle can take until this is dropped, or its process ends.
#[derive(Debug)]
pub struct RealLock {
    _file: StdFile,
}

impl RealDisk {
    /// The folder at `root`, which need not exist yet: [`Disk::create_dir`] of `""` makes it.
    pub fn new(root: impl Into<PathBuf>) -> RealDisk {
        RealDisk { root: root.into() }
    }

    /// Where the folder is, for messages.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn path(&self, name: &str) -> PathBuf {
        let relative = Path::new(name);
        assert!(
            relative.components().all(|part| matches!(part, Component::Normal(_))),
            "{name:?} is not a name below the folder"
        );
        if name.is_empty() { self.root.clone() } else { self.root.join(relative) }
    }
}

impl RealFile {
    fn new(path: PathBuf, options: &OpenOptions) -> io::Result<RealFile> {
        Ok(RealFile { file: options.open(&path)?, part: Part::of(&path) })
    }
}

impl Disk for RealDisk {
    type File = RealFile;
    type Lock = RealLock;

    fn create(&self, name: &str) -> io::Result<RealFile> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(FILE_MODE);
        let file = RealFile::new(self.path(name), &options)?;
        file.part.passed("created");
        Ok(file)
    }

    fn open(&self, name: &str) -> io::Result<RealFile> {
        RealFile::new(self.path(name), OpenOptions::new().read(true).write(true))
    }

    fn open_read(&self, name: &str) -> io::Result<RealFile> {
        RealFile::new(self.path(name), OpenOptions::new().read(true))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.path(dir)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            // A name that is not UTF-8 is none of ours.
            names.extend(entry?.file_name().into_string().ok());
        }
        names.sort();
        Ok(names)
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        let path = self.path(dir);
        let missing: Vec<&Path> =
            path.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.is_dir()).collect();
        for dir in missing.into_iter().rev() {
            match fs::DirBuilder::new().mode(DIR_MODE).create(dir) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
                result => result?,
            }
            flush_path(parent(dir))?;
        }
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))?;
        Part::of(&self.path(to)).passed("moved");
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))?;
        Part::of(&self.path(name)).passed("removed");
        Ok(())
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        self.path(name).try_exists()
    }

    fn flush_dir(&self, dir: &str) -> io::Result<()> {
        flush_path(&self.path(dir))?;
        Part::of(&self.path(dir)).passed("named");
        Ok(())
    }

    fn lock(&self, name: &str) -> io::Result<RealLock> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(FILE_MODE);
        let file = options.open(self.path(name))?;
        match file.try_lock() {
            Ok(()) => Ok(RealLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn within(&self, dir: &str) -> RealDisk {
        RealDisk { root: self.path(dir) }
    }
}

/// The folder that holds the name of `path`.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn flush_path(dir: &Path) -> io::Result<()> {
    StdFile::open(dir)?.sync_all()
}

impl File for RealFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.part.tear(|| {
            // The process ends here; whether this half went out is as uncertain as it is in a crash.
            drop(self.file.write_at(&bytes[..bytes.len() / 2], offset));
        });
        let count = self.file.write_at(bytes, offset)?;
        self.part.passed("written");
        Ok(count)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        self.part.passed("sized");
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        self.file.sync_data()?;
        self.part.passed("flushed");
        Ok(())
    }
}
