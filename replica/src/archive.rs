//! Segments that the log let go: kept for near peers and for questions about the past, within bounds.

use disk::{Disk, File};
use wal::Position;

use crate::error::Error;
use crate::folder::{ARCHIVE, WAL};
use crate::replica::Replica;

impl<D: Disk> Replica<D> {
    /// Moves the segments that lie wholly before a position to the archive.
    pub(crate) fn archive_log(&mut self, before: Position) -> Result<(), Error> {
        let released = self.log.release(before);
        let released = self.stop_on_error(released)?;
        if released.is_empty() {
            return Ok(());
        }
        self.tail.forget_home(self.log.start());
        let archived = self.archive_segments(released);
        self.stop_on_error(archived)
    }

    /// Moves segments out of the log's folder, and the oldest out of the archive where it is full.
    pub(crate) fn archive_segments(&mut self, names: Vec<String>) -> Result<(), Error> {
        for name in names {
            let (from, to) = (format!("{WAL}/{name}"), format!("{ARCHIVE}/{name}"));
            let len =
                self.disk.open_read(&from).and_then(|file| file.len()).map_err(failed("open", &from))?;
            self.disk.rename(&from, &to).map_err(failed("move", &from))?;
            self.archive.push_back((name, len));
        }
        // The new name first: between the two a crash may show both, but never neither.
        self.disk.flush_dir(ARCHIVE).map_err(failed("flush", ARCHIVE))?;
        self.disk.flush_dir(WAL).map_err(failed("flush", WAL))?;
        self.bound_archive()
    }

    /// Takes note of what the archive holds.
    pub(crate) fn list_archive(&mut self) -> Result<(), Error> {
        for name in self.disk.list(ARCHIVE).map_err(failed("list", ARCHIVE))? {
            let path = format!("{ARCHIVE}/{name}");
            let len =
                self.disk.open_read(&path).and_then(|file| file.len()).map_err(failed("open", &path))?;
            self.archive.push_back((name, len));
        }
        Ok(())
    }

    fn bound_archive(&mut self) -> Result<(), Error> {
        let mut total: u64 = self.archive.iter().map(|(_, len)| len).sum();
        while total > self.limits.archive_bytes {
            let Some((name, len)) = self.archive.pop_front() else { break };
            let path = format!("{ARCHIVE}/{name}");
            self.disk.remove(&path).map_err(failed("remove", &path))?;
            total -= len;
        }
        Ok(())
    }
}

fn failed<'a>(action: &'static str, name: &'a str) -> impl Fn(std::io::Error) -> Error + 'a {
    move |source| Error::Disk { action, name: name.to_owned(), source }
}
