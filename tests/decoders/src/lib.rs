//! What every decoder keeps, whatever bytes it is given.
//!
//! Each [`Target`] is one decoder, or a family of them, with one property: any bytes give an error or a value that
//! encodes back to the same bytes; nothing panics; and no more is allocated at once than [`Target::limit`] says. `fuzz/`
//! looks for bytes that break it, and `cargo test` plays the corpus and every past finding again, and bends them.

mod commits;
mod files;
mod frames;
mod limit;
pub mod mutation;
pub mod seeds;
mod segments;
pub mod stored;
mod text;

pub use limit::Limited;

/// One decoder under test.
pub struct Target {
    /// Its name, also that of its fuzz target and its corpus.
    pub name: &'static str,
    check: fn(&[u8]),
    /// Bytes it may hold at once for an input of no length, and how many more for each byte of input.
    limit: (usize, usize),
}

/// Every decoder of bytes from a peer, a disk or a person.
pub const TARGETS: &[Target] = &[
    Target { name: "commit", check: commits::commit, limit: (4 << 10, 24) },
    Target { name: "seal", check: commits::seal, limit: (4 << 10, 8) },
    Target { name: "handle", check: commits::handle, limit: (4 << 10, 16) },
    Target { name: "evidence", check: commits::evidence, limit: (4 << 10, 24) },
    Target { name: "proposal", check: commits::proposal, limit: (4 << 10, 24) },
    Target { name: "ticket", check: commits::ticket, limit: (4 << 10, 24) },
    Target { name: "key", check: commits::key, limit: (4 << 10, 80) },
    Target { name: "row", check: commits::row, limit: (4 << 10, 16) },
    Target { name: "frame", check: frames::frame, limit: (16 << 10, 32) },
    Target { name: "stream", check: frames::stream, limit: (16 << 10, 40) },
    Target { name: "node", check: files::node, limit: (16 << 10, 24) },
    Target { name: "pack", check: files::pack, limit: (512 << 10, 24) },
    Target { name: "manifest", check: files::manifest, limit: (16 << 10, 40) },
    Target { name: "record", check: files::record, limit: (16 << 10, 24) },
    Target { name: "segment", check: segments::segment, limit: (1 << 20, 64) },
    Target { name: "keytext", check: text::key, limit: (16 << 10, 400) },
    Target { name: "body", check: text::body, limit: (16 << 10, 400) },
    Target { name: "settings", check: text::settings, limit: (1 << 20, 2_000) },
];

impl Target {
    /// The target of this name.
    pub fn find(name: &str) -> Option<&'static Target> {
        TARGETS.iter().find(|target| target.name == name)
    }

    /// Most bytes it may hold at once for an input of this length.
    pub fn limit(&self, len: usize) -> usize {
        self.limit.0 + self.limit.1 * len
    }

    /// Panics if the decoder breaks its property on these bytes.
    ///
    /// What is allocated is counted only where [`Limited`] is the global allocator.
    pub fn check(&self, bytes: &[u8]) {
        let ((), held) = limit::measure(|| (self.check)(bytes));
        let limit = self.limit(bytes.len());
        assert!(held <= limit, "{} bytes made {} hold {held} at once, over {limit}", bytes.len(), self.name);
    }
}

/// The property: what decodes encodes back to the same bytes. Returns the value for a closer look.
fn same<T, E>(bytes: &[u8], decoded: Result<T, E>, encode: impl Fn(&T) -> Vec<u8>) -> Option<T> {
    let value = decoded.ok()?;
    assert!(encode(&value) == bytes, "it decodes, and encodes to other bytes");
    Some(value)
}
