//! What every decoder keeps, whatever bytes it is given.
//!
//! Each [`Target`] is one decoder, or a family of them, with one property: any bytes give an error or a value that
//! encodes back to the same bytes; nothing panics; and no more is allocated at once than the target's limit says.
//! `cargo test` plays every past finding and real bytes, and what chance makes of them; the binary does so for long.

mod commits;
mod files;
mod frames;
mod limit;
pub mod mutation;
mod seeds;
mod segments;
mod stored;
mod text;
mod views;

use data_encoding::HEXLOWER;
pub use limit::{Limited, measure};

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
    Target { name: "commit", check: commits::commit, limit: (4 << 10, 48) },
    Target { name: "seal", check: commits::seal, limit: (4 << 10, 8) },
    Target { name: "handle", check: commits::handle, limit: (4 << 10, 16) },
    Target { name: "evidence", check: commits::evidence, limit: (4 << 10, 48) },
    Target { name: "proposal", check: commits::proposal, limit: (4 << 10, 24) },
    Target { name: "ticket", check: commits::ticket, limit: (4 << 10, 24) },
    Target { name: "key", check: commits::key, limit: (4 << 10, 80) },
    Target { name: "row", check: commits::row, limit: (4 << 10, 48) },
    Target { name: "frame", check: frames::frame, limit: (16 << 10, 48) },
    Target { name: "stream", check: frames::stream, limit: (16 << 10, 64) },
    Target { name: "node", check: files::node, limit: (16 << 10, 24) },
    Target { name: "pack", check: files::pack, limit: (512 << 10, 24) },
    Target { name: "manifest", check: files::manifest, limit: (16 << 10, 40) },
    Target { name: "record", check: files::record, limit: (16 << 10, 48) },
    Target { name: "segment", check: segments::segment, limit: (1 << 20, 64) },
    Target { name: "json", check: views::json, limit: (16 << 10, 160) },
    Target { name: "context", check: views::context, limit: (4 << 10, 64) },
    Target { name: "manner", check: views::manner, limit: (4 << 10, 80) },
    Target { name: "keytext", check: text::key, limit: (16 << 10, 400) },
    Target { name: "body", check: text::body, limit: (16 << 10, 400) },
    Target { name: "patch", check: text::patch, limit: (192 << 20, 400) },
    Target { name: "settings", check: text::settings, limit: (1 << 20, 2_000) },
];

impl Target {
    /// What once broke it, and real bytes of its kind.
    pub fn inputs(&self) -> Vec<Vec<u8>> {
        let inputs: Vec<Vec<u8>> = stored::read(self.name).into_iter().chain(seeds::of(self.name)).collect();
        assert!(!inputs.is_empty(), "no inputs for {}", self.name);
        inputs
    }

    /// Holds the decoder against its property; the error says what broke it, with the bytes in hex.
    ///
    /// What is allocated is counted only where [`Limited`] is the global allocator.
    pub fn attempt(&self, bytes: &[u8]) -> Result<(), String> {
        let limit = self.limit.0 + self.limit.1 * bytes.len();
        let what = match std::panic::catch_unwind(|| measure(|| (self.check)(bytes))) {
            Ok(((), held)) if held <= limit => return Ok(()),
            Ok(((), held)) => format!("it held {held} bytes at once, over {limit}"),
            Err(panic) => match panic.downcast_ref::<String>() {
                Some(text) => text.clone(),
                None => panic.downcast_ref::<&str>().unwrap_or(&"it panicked").to_string(),
            },
        };
        Err(format!("{what}\n{}", HEXLOWER.encode(bytes)))
    }
}

/// The property: what decodes encodes back to the same bytes. Returns the value for a closer look.
fn same<T, E>(bytes: &[u8], decoded: Result<T, E>, encode: impl Fn(&T) -> Vec<u8>) -> Option<T> {
    let value = decoded.ok()?;
    assert!(encode(&value) == bytes, "it decodes, and encodes to other bytes");
    Some(value)
}
