//! Two sessions and the wire between them, under a clock that the test moves.

use crdt::Time;
use sync::frame::ForkFrame;
use sync::{Config, Frame, FrameReader, Local, Role, Session, State, Status, Store};

use crate::model::{Model, device};

/// One end: a replica and its session with the other.
pub(crate) struct End {
    pub(crate) name: &'static str,
    pub(crate) model: Model,
    pub(crate) session: Session,
}

/// Two ends, and everything that was said.
pub(crate) struct Pair {
    pub(crate) a: End,
    pub(crate) b: End,
    pub(crate) now: Time,
    pub(crate) trace: String,
    /// Bytes the wire still carries; then it is cut.
    pub(crate) budget: usize,
    /// Longest read of either end.
    pub(crate) fragment: usize,
    pub(crate) carried: usize,
    pub(crate) frames: usize,
}

impl Pair {
    /// Connects the replicas of devices 1 and 2.
    pub(crate) fn new(a: Model, b: Model) -> Pair {
        Pair::with_config(a, b, Config::default())
    }

    pub(crate) fn with_config(a: Model, b: Model, config: Config) -> Pair {
        let now = Time(1_000_000);
        let (session_a, session_b) = sessions(&a, &b, now, config);
        Pair {
            a: End { name: "a", model: a, session: session_a },
            b: End { name: "b", model: b, session: session_b },
            now,
            trace: String::new(),
            budget: usize::MAX,
            fragment: usize::MAX,
            carried: 0,
            frames: 0,
        }
    }

    /// A new connection between the same replicas.
    pub(crate) fn reconnect(&mut self) {
        let (a, b) = sessions(&self.a.model, &self.b.model, self.now, Config::default());
        (self.a.session, self.b.session) = (a, b);
        self.budget = usize::MAX;
    }

    /// Carries frames both ways until neither end has anything to say.
    pub(crate) fn run(&mut self) -> &mut Pair {
        self.a.model.flush();
        self.b.model.flush();
        for _ in 0..100_000 {
            let is_quiet = !self.carry(true) & !self.carry(false);
            if is_quiet || self.budget == 0 {
                return self;
            }
        }
        panic!("the sessions never fell silent:\n{}", self.trace);
    }

    /// Lets time pass until `until`, stopping at each timer on the way.
    pub(crate) fn wait(&mut self, ms: u64) -> &mut Pair {
        let until = self.now.plus_ms(ms);
        loop {
            self.run();
            let timers = [self.a.session.poll_timeout(), self.b.session.poll_timeout()];
            let next = timers.into_iter().flatten().min().filter(|next| *next <= until);
            let Some(next) = next else { break };
            assert!(next > self.now || self.now == until, "a timer that is due stays due");
            self.now = next.max(self.now);
            self.a.session.handle_timeout(self.now);
            self.b.session.handle_timeout(self.now);
        }
        self.now = until;
        self
    }

    pub(crate) fn states(&self) -> (State, State) {
        (self.a.session.state(&self.a.model), self.b.session.state(&self.b.model))
    }

    pub(crate) fn status(&self) -> (Status, Status) {
        (self.a.session.status(&self.a.model), self.b.session.status(&self.b.model))
    }

    pub(crate) fn assert_converged(&self) {
        assert_eq!(self.a.model.contents(), self.b.model.contents(), "{}", self.trace);
    }

    pub(crate) fn take_trace(&mut self) -> String {
        std::mem::take(&mut self.trace)
    }

    /// One frame in one direction; `false` when there was none.
    fn carry(&mut self, from_a: bool) -> bool {
        let (from, to) = if from_a { (&mut self.a, &mut self.b) } else { (&mut self.b, &mut self.a) };
        let Some(mut bytes) = from.session.poll_transmit(self.now, &mut from.model) else { return false };
        self.trace += &format!("{} {}\n", from.name, describe(&bytes));
        self.frames += 1;
        bytes.truncate(self.budget);
        self.budget -= bytes.len();
        self.carried += bytes.len();
        for part in bytes.chunks(self.fragment.max(1)) {
            if let Err(error) = to.session.handle_bytes(self.now, part, &mut to.model) {
                self.trace += &format!("{} ! {error}\n", to.name);
            }
        }
        to.model.flush();
        true
    }
}

pub(crate) fn local(seed: u8, peer: u8) -> Local {
    Local { device: device(seed).id(), instance: [seed; 16], peer: device(peer).id() }
}

fn sessions(a: &Model, b: &Model, now: Time, config: Config) -> (Session, Session) {
    let (id_a, id_b) = (a.key.id(), b.key.id());
    let local = |device, peer, instance| Local { device, instance, peer };
    let one = Session::new(Role::Dialer, local(id_a, id_b, [0xa; 16]), now, config);
    let two = Session::new(Role::Listener, local(id_b, id_a, [0xb; 16]), now, config);
    (one, two)
}

/// A frame in one line: what it says, without hashes.
pub(crate) fn describe(bytes: &[u8]) -> String {
    let mut reader = FrameReader::new();
    reader.feed(bytes);
    let frame = reader.pop().expect("sessions send frames that decode").expect("and whole ones");
    match frame {
        Frame::Hello(_) => "Hello".into(),
        Frame::Open(open) => {
            let more = if open.more { " more" } else { "" };
            format!(
                "Open v{} {}{more}",
                open.handle.version,
                rows(open.tail.iter().map(|row| (row.0, row.1)))
            )
        }
        Frame::Cover(cover) => {
            let yours =
                |row: &sync::frame::CoverRow| format!("{}:{} {:?}", short(&row.writer), row.seq, row.yours);
            format!("Cover [{}]", cover.rows.iter().map(yours).collect::<Vec<_>>().join(", "))
        }
        Frame::Commits(frame) => {
            let dots = rows(frame.commits.iter().map(|commit| (commit.dot().writer, commit.dot().seq)));
            let blobs =
                if frame.blobs.is_empty() { String::new() } else { format!(" {} blobs", frame.blobs.len()) };
            format!("Commits {dots}{blobs}")
        }
        Frame::Ack(ack) => format!("Ack v{} {}", ack.base_version, rows(ack.stored.into_iter())),
        Frame::Nack(nack) => format!("Nack {}:{} {:?}", short(&nack.writer), nack.seq, nack.code),
        Frame::Handle(handle) => {
            let changes =
                handle.0.vector_changes.map_or("fetch".into(), |rows| format!("{} rows", rows.len()));
            format!("Handle v{} {changes}", handle.0.handle.version)
        }
        Frame::Want(want) => format!("Want v{} {}", want.version, want.nodes.len()),
        Frame::Data(data) => format!("Data {}", data.nodes.len()),
        Frame::Missing(missing) => {
            format!("Missing {} newest v{}", missing.nodes.len(), missing.newest_version)
        }
        Frame::Fork(ForkFrame::Ask { writer, seq }) => format!("Ask {}:{seq}", short(&writer)),
        Frame::Fork(ForkFrame::Shown { writer, seq, shown: None }) => {
            format!("Shown {}:{seq} nothing", short(&writer))
        }
        Frame::Fork(ForkFrame::Shown { writer, seq, shown: Some(shown) }) => {
            format!("Shown {}:{seq}..{}", short(&writer), shown.strand.seal.seq)
        }
        Frame::Fork(ForkFrame::Proof(evidence)) => {
            let proof = evidence.claim().expect("sessions send evidence of something");
            format!("Proof {}:{}", short(&proof.writer), proof.seq)
        }
        Frame::BlobData(blob) => format!("BlobData {} bytes", blob.bytes.len()),
        Frame::Beat(beat) => format!("Beat v{}", beat.base_version),
        Frame::Bye(bye) => format!("Bye {:?}", bye.code),
        other => other.name().into(),
    }
}

/// Dots with runs of one writer joined.
fn rows(dots: impl Iterator<Item = (crdt::WriterId, u64)>) -> String {
    let mut runs: Vec<(crdt::WriterId, u64, u64)> = Vec::new();
    for (writer, seq) in dots {
        match runs.last_mut() {
            Some((last, _, end)) if *last == writer && *end + 1 == seq => *end = seq,
            _ => runs.push((writer, seq, seq)),
        }
    }
    let run = |(writer, start, end): &(crdt::WriterId, u64, u64)| match start == end {
        true => format!("{}:{start}", short(writer)),
        false => format!("{}:{start}..{end}", short(writer)),
    };
    format!("[{}]", runs.iter().map(run).collect::<Vec<_>>().join(", "))
}

/// The model's writers are told apart by the byte that fills their run.
fn short(writer: &crdt::WriterId) -> String {
    format!("w{}", writer.0[16])
}

/// The version of a replica's base.
pub(crate) fn version(store: &impl Store) -> u64 {
    store.handle().version
}
