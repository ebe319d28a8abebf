//! The log: append, flush, read back, and let go of what is no longer needed.

use disk::Disk;

use crate::entries::Entries;
use crate::record::{self, KIND_MARK, Label, Link, PART_WHOLE};
use crate::recovery::{self, Mode};
use crate::segment::{self, HEAD_LEN, Head, SLACK_LEN, Tail};
use crate::{Entry, Error, KIND_MAX, PAYLOAD_LEN_MAX, Position, Recovered, SegmentInfo};

/// Buffered records beyond this go to the file before a flush asks for them: a flush takes longer from here
/// on.
const BUFFER_LEN_MAX: usize = 256 << 10;

/// How a log is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Reading starts here, and everything before is known to be flushed; the segments below are not looked
    /// at.
    pub from: Position,
    /// Length of the first segment's file.
    pub segment_len_first: u64,
    /// Length up to which segments double under load.
    pub segment_len_max: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options { from: Position(0), segment_len_first: 256 << 10, segment_len_max: 64 << 20 }
    }
}

/// An open log. One owner at a time appends to it.
#[derive(Debug)]
pub struct Log<D: Disk> {
    disk: D,
    options: Options,
    opens: u64,
    /// Where the segments before the tail start, oldest first.
    closed: Vec<u64>,
    tail: Tail<D::File>,
    link: Link,
    flushed: u64,
    promises: Promises,
    state: State,
}

/// What was written since the last flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promises {
    /// Entries that nothing is promised about yet.
    Open,
    /// Nothing, and no record says so yet.
    Kept,
    /// Nothing, and the last record says so.
    Marked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Writable,
    ReadOnly,
    /// A write or flush failed: what the disk holds is not known.
    Poisoned,
}

impl<D: Disk> Log<D> {
    /// Opens the log in this folder, or starts one where there is none, and makes what it keeps durable.
    ///
    /// `opens` counts the openings of this folder: it keeps what an earlier opening left behind from being
    /// read again.
    pub fn open(disk: D, options: Options, opens: u64) -> Result<(Log<D>, Recovered), Error> {
        let Some(mut found) = recovery::find(&disk, options.from.0, Mode::Write)? else {
            let start = options.from.0;
            let capacity = options.segment_len_first;
            let tail = Tail::create(&disk, Head { start, seq: 0, opens, capacity, previous: 0 })?;
            let log = Log::new(disk, options, opens, tail);
            let recovered = Recovered { end: log.end(), cut: None };
            return Ok((log, recovered));
        };
        found.settle(&disk, opens)?;
        Ok(Log::from_found(disk, options, opens, found, State::Writable))
    }

    /// Opens it for reading only: nothing is written, and a torn tail is cut in memory.
    ///
    /// What it shows may not be durable: [`Log::flushed`] is what is known to be.
    pub fn open_read(disk: D, options: Options) -> Result<(Log<D>, Recovered), Error> {
        match recovery::find(&disk, options.from.0, Mode::Read)? {
            Some(found) => Ok(Log::from_found(disk, options, 0, found, State::ReadOnly)),
            None => Err(Error::Missing { position: options.from }),
        }
    }

    fn new(disk: D, options: Options, opens: u64, tail: Tail<D::File>) -> Log<D> {
        let (link, flushed) = (tail.head.link(), tail.end().0);
        let state = State::Writable;
        Log {
            disk,
            options,
            opens,
            closed: Vec::new(),
            tail,
            link,
            flushed,
            promises: Promises::Marked,
            state,
        }
    }

    fn from_found(
        disk: D,
        options: Options,
        opens: u64,
        mut found: recovery::Found<D::File>,
        state: State,
    ) -> (Log<D>, Recovered) {
        found.starts.pop();
        let mut log = Log::new(disk, options, opens, found.tail);
        log.closed = found.starts;
        log.link = found.extent.link;
        log.promises = Promises::Kept;
        log.state = state;
        if state == State::ReadOnly {
            log.flushed = found.proven;
        }
        let recovered = Recovered { end: log.end(), cut: found.cut };
        (log, recovered)
    }

    /// Adds an entry to the end of the log and returns where it starts.
    ///
    /// It survives a crash only after the next [`Log::flush`]. After [`Error::TooLarge`] and
    /// [`Error::NoSpace`] the log is as it was before.
    ///
    /// # Panics
    ///
    /// When `kind` is 0 or over [`KIND_MAX`].
    pub fn append(&mut self, kind: u8, payload: &[u8]) -> Result<Position, Error> {
        assert!((1..=KIND_MAX).contains(&kind), "kind {kind} is the log's own");
        self.check_writable()?;
        if payload.len() > PAYLOAD_LEN_MAX {
            return Err(Error::TooLarge { len: payload.len() });
        }
        let len = record::entry_len(payload.len());
        if !self.tail.fits(len) {
            self.attempt(|log| log.rotate(len))?;
        }
        self.attempt(|log| log.tail.reserve(len))?;
        let position = self.end();
        record::encode_entry(&mut self.tail.buffer, &mut self.link, kind, self.flushed, payload);
        self.promises = Promises::Open;
        if self.tail.buffer.len() > BUFFER_LEN_MAX {
            self.attempt(|log| log.tail.write_out())?;
        }
        Ok(position)
    }

    /// Makes room for entries that take so many bytes in all, so that a full disk is found out before the first of them.
    /// After [`Error::NoSpace`] the log is as it was before.
    pub fn reserve(&mut self, len: u64) -> Result<(), Error> {
        self.check_writable()?;
        if !self.tail.fits(len) {
            self.attempt(|log| log.rotate(0))?;
        }
        // Entries that no segment holds together find their room one by one.
        if self.tail.fits(len) { self.attempt(|log| log.tail.reserve(len)) } else { Ok(()) }
    }

    /// Makes everything appended durable, and returns the position it reaches to.
    ///
    /// After an error the log is poisoned: nobody knows what the disk holds, and a second try would prove
    /// nothing.
    pub fn flush(&mut self) -> Result<Position, Error> {
        self.check_writable()?;
        if self.promises == Promises::Open {
            self.attempt(Log::flush_tail)?;
        }
        Ok(self.flushed())
    }

    fn flush_tail(&mut self) -> Result<(), Error> {
        self.tail.flush()?;
        self.flushed = self.tail.end().0;
        self.promises = Promises::Kept;
        Ok(())
    }

    /// Writes, when there is none yet, a mark that says how far the log is flushed; it need not be flushed
    /// itself.
    ///
    /// To be called when no batch followed the last flush for a second: without it, damage to the newest
    /// batch looks like a torn tail.
    pub fn mark_idle(&mut self) -> Result<(), Error> {
        self.check_writable()?;
        if self.promises != Promises::Kept {
            return Ok(());
        }
        let label = Label { kind: KIND_MARK, part: PART_WHOLE, flushed: self.flushed };
        record::encode(&mut self.tail.buffer, &mut self.link, label, &[]);
        self.attempt(|log| log.tail.write_out())?;
        self.promises = Promises::Marked;
        Ok(())
    }

    /// Closes the tail and starts the next segment, long enough for an entry of `len` bytes.
    ///
    /// The tail is flushed first: that a segment exists says that everything before it is durable.
    fn rotate(&mut self, len: u64) -> Result<(), Error> {
        self.flush_tail()?;
        let head = Head {
            start: self.tail.end().0,
            seq: self.link.seq,
            opens: self.opens,
            capacity: self.capacity_next().max(HEAD_LEN + len + SLACK_LEN),
            previous: self.link.checksum,
        };
        let tail = Tail::create(&self.disk, head)?;
        self.tail.trim()?;
        self.closed.push(self.tail.head.start);
        self.link = head.link();
        self.tail = tail;
        Ok(())
    }

    /// Under load, when the segments before are still needed, the next one is twice as long; else half.
    fn capacity_next(&self) -> u64 {
        let now = self.tail.head.capacity;
        let next = if self.closed.is_empty() { now / 2 } else { now.saturating_mul(2) };
        next.min(self.options.segment_len_max).max(self.options.segment_len_first)
    }

    /// Runs a step that touches the disk; one that fails for anything but space takes the log with it.
    fn attempt<T>(&mut self, step: impl FnOnce(&mut Log<D>) -> Result<T, Error>) -> Result<T, Error> {
        let result = step(self);
        if let Err(error) = &result
            && !matches!(error, Error::NoSpace { .. })
        {
            self.state = State::Poisoned;
        }
        result
    }

    fn check_writable(&self) -> Result<(), Error> {
        self.check_alive()?;
        if self.state == State::ReadOnly { Err(Error::ReadOnly) } else { Ok(()) }
    }

    pub(crate) fn check_alive(&self) -> Result<(), Error> {
        if self.state == State::Poisoned { Err(Error::Poisoned) } else { Ok(()) }
    }

    /// Everything before this position is durable. An idle mark behind it may not be.
    pub fn flushed(&self) -> Position {
        Position(self.flushed)
    }

    /// Where the next entry goes.
    pub fn end(&self) -> Position {
        self.tail.end()
    }

    /// The first position whose segment is still held.
    pub fn start(&self) -> Position {
        Position(self.closed.first().copied().unwrap_or(self.tail.head.start))
    }

    /// The entry that starts at `position`.
    pub fn read(&self, position: Position) -> Result<Entry, Error> {
        match self.entries(position).next() {
            Some(Ok(entry)) if entry.position == position => Ok(entry),
            Some(Err(error)) => Err(error),
            Some(Ok(_)) | None => Err(Error::Missing { position }),
        }
    }

    /// The entries from `from` to the end, unflushed ones included; `from` is the position or the `next` of
    /// an entry.
    pub fn entries(&self, from: Position) -> Entries<'_, D> {
        Entries::new(self, from)
    }

    /// Reads everything from `from` again and returns how many entries that is, or the first that is damaged.
    pub fn verify(&self, from: Position) -> Result<u64, Error> {
        self.entries(from).try_fold(0, |count, entry| entry.map(|_| count + 1))
    }

    /// Forgets the segments that lie wholly before `before` and returns their names, oldest first.
    ///
    /// The files stay where they are until the caller removes or moves them; until then an opening finds them
    /// again.
    pub fn release(&mut self, before: Position) -> Result<Vec<String>, Error> {
        self.check_writable()?;
        let ends = self.closed.iter().skip(1).chain([&self.tail.head.start]);
        let count = ends.take_while(|&&end| end <= before.0).count().min(self.closed.len());
        Ok(self.closed.drain(..count).map(segment::name).collect())
    }

    /// The segments, oldest first.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        let ends = self.closed.iter().skip(1).copied().chain([self.tail.head.start]);
        let closed = self.closed.iter().zip(ends).map(|(&start, end)| (start, end - start));
        let all = closed.chain([(self.tail.head.start, self.tail.len())]);
        let info = |(start, len)| SegmentInfo { name: segment::name(start), start: Position(start), len };
        all.map(info).collect()
    }

    /// Where the segment that holds `position` starts and ends.
    pub(crate) fn segment_at(&self, position: Position) -> Result<(u64, u64), Error> {
        let Position(at) = position;
        if at >= self.tail.head.start && at <= self.end().0 {
            return Ok((self.tail.head.start, self.end().0));
        }
        let next = self.closed.partition_point(|&start| start <= at);
        if next == 0 || at > self.end().0 {
            return Err(Error::Missing { position });
        }
        Ok((self.closed[next - 1], self.closed.get(next).copied().unwrap_or(self.tail.head.start)))
    }

    pub(crate) fn tail(&self) -> &Tail<D::File> {
        &self.tail
    }

    pub(crate) fn disk(&self) -> &D {
        &self.disk
    }
}
