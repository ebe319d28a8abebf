//! For the fuzz targets alone: the decoders that no other crate may use, each with its encoding.

use crate::error::Error;
use crate::handover;
use crate::home::{decode_claim, encode_claim};
use crate::invite::Row;
use crate::propose::Recorded;

/// A row of `sys/invite`, read and written again.
pub fn row(bytes: &[u8]) -> Result<Vec<u8>, crdt::Error> {
    Row::decode(bytes).map(|row| row.encode())
}

/// The claim of a home, read and written again.
pub fn claim(bytes: &[u8]) -> Result<Vec<u8>, crdt::Error> {
    decode_claim(bytes).map(encode_claim)
}

/// The answer to a proposal in `sys/prop`, read and written again.
pub fn recorded(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    Recorded::decode(bytes).map(|recorded| recorded.encode())
}

/// Where a home is, read and written again.
pub fn addresses(bytes: &[u8]) -> Result<Vec<u8>, crdt::Error> {
    handover::decode(bytes).map(|addresses| handover::encode(&addresses.iter().collect::<Vec<_>>()))
}
