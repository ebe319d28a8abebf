//! For the fuzz targets alone: the decoders that no other crate may use, each with its encoding.

use crate::home::{decode_claim, encode_claim};
use crate::invite::Row;

/// A row of `sys/invite`, read and written again.
pub fn row(bytes: &[u8]) -> Result<Vec<u8>, crdt::Error> {
    Row::decode(bytes).map(|row| row.encode())
}

/// The claim of a home, read and written again.
pub fn claim(bytes: &[u8]) -> Result<Vec<u8>, crdt::Error> {
    decode_claim(bytes).map(encode_claim)
}
