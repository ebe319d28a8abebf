//! What a disk holds: nodes, packs, manifests and the entries of a log.

use btree::{Kind, Node, Nodes, PackRef, Salt};
use disk::{Disk, File, MemoryDisk};

use crate::same;

/// A node of either tree.
pub(crate) fn node(bytes: &[u8]) {
    for kind in [Kind::Data, Kind::Vector] {
        if let Some(node) = same(bytes, Node::decode(kind, bytes), btree::decoders::encode_again) {
            for row in 0..node.len() {
                drop(node.key(row));
                let _ = if node.is_leaf() {
                    (Some(node.value(row)), None)
                } else {
                    (None, Some(node.child(row)))
                };
            }
        }
    }
}

const PACK: &str = "00000001-00000001.pack";
/// Two numbers and a checksum.
const TRAILER_LEN: usize = 48;
const INDEX_ENTRY_LEN: usize = 45;

/// A pack, as it is and with its checksum made right: no chance makes one of those.
pub(crate) fn pack(bytes: &[u8]) {
    open_pack(bytes);
    if let Some(mended) = mend_pack(bytes) {
        open_pack(&mended);
    }
}

fn mend_pack(bytes: &[u8]) -> Option<Vec<u8>> {
    let trailer_at = bytes.len().checked_sub(TRAILER_LEN)?;
    let number = |at: usize| bytes[at..].first_chunk().map(|number| u64::from_le_bytes(*number));
    let index_len = number(trailer_at)?.checked_mul(INDEX_ENTRY_LEN as u64)?;
    let len = usize::try_from(index_len.checked_add(number(trailer_at + 8)?)?).ok()?;
    let footer_at = trailer_at.checked_sub(len)?;
    let (covered, checksum) = (footer_at..trailer_at + 16, trailer_at + 16);
    let mut mended = bytes.to_vec();
    let hash = blake3::hash(&mended[covered]);
    mended[checksum..].copy_from_slice(hash.as_bytes());
    Some(mended)
}

fn open_pack(bytes: &[u8]) {
    let disk = MemoryDisk::new(1);
    let file = disk.create(PACK).expect("an empty disk");
    file.write_all_at(bytes, 0).expect("a disk in memory takes all");
    let pack = PackRef { name: PACK.into(), len: bytes.len() as u64 };
    let extra = btree::read_extra(&disk, &pack);
    let nodes = Nodes::open(disk, Salt([1; 32]), std::slice::from_ref(&pack));
    assert_eq!(extra.is_ok(), nodes.is_ok(), "two readers of a pack disagree");
    let Ok(nodes) = nodes else { return };
    for (kind, hash, len) in nodes.pack_entries(PACK) {
        assert_eq!(nodes.find(&hash), Some((kind, len)), "what the index lists is found");
        if let Ok(Some(raw)) = nodes.raw(&hash) {
            assert_eq!(nodes.salt().hash(kind, &raw), hash, "believed without its hash");
        }
        drop(nodes.load(kind, &hash));
    }
}

/// The body of a manifest, and a whole slot around it.
pub(crate) fn manifest(bytes: &[u8]) {
    same(bytes, replica::decoders::manifest(bytes), Vec::clone);
}

/// An entry of the log: the first byte is its kind.
pub(crate) fn record(bytes: &[u8]) {
    let Some((kind, payload)) = bytes.split_first() else { return };
    same(payload, replica::decoders::record(*kind, payload), Vec::clone);
}
