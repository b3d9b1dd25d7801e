//! What a node without a vote is told of those who have one. The kind continues those of blobs.
//!
//! ```text
//! 56 voters            leader? | count u32, (node u64 | address) ...
//! ```

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use dspex_model::NodeId;

use super::{read_optional, write_optional};
use crate::codec::bytes::{Reader, Writer};
use crate::outpost::Voters;

const VOTERS: u8 = 56;

pub(crate) fn encode_voters(voters: &Voters) -> Bytes {
    let mut writer = Writer::new(VOTERS, 256);
    write_optional(&mut writer, voters.leader.map(|leader| leader.0));
    writer.count(voters.addresses.len());
    for (node, address) in &voters.addresses {
        writer.u64(node.0);
        writer.text(address);
    }
    writer.finish().into()
}

pub(crate) fn decode_voters(bytes: &[u8]) -> io::Result<Voters> {
    let mut reader = Reader::open_as("voters", VOTERS, bytes)?;
    let leader = read_optional(&mut reader)?.map(NodeId);
    let mut addresses = BTreeMap::new();
    for _ in 0..reader.u32()? {
        let node = NodeId(reader.u64()?);
        addresses.insert(node, reader.text()?);
    }
    reader.end()?;
    Ok(Voters { leader, addresses })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_voters_are_pinned() {
        let voters = Voters { leader: Some(NodeId(2)), addresses: [(NodeId(2), "a:1".to_owned())].into() };
        let bytes = encode_voters(&voters);
        assert_eq!(decode_voters(&bytes).expect("decodes"), voters);
        let none = Voters::default();
        assert_eq!(decode_voters(&encode_voters(&none)).expect("decodes"), none);
        let body: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(body.contains("0102000000000000000100000002000000000000000300000061"), "{body}");
        assert!(decode_voters(&bytes[..bytes.len() - 1]).is_err());
    }
}
