//! The first words on a connection: who calls whom, for what, and in which version.
//!
//! ```text
//! hello     "DSPXPEER" | least version u16 | greatest version u16 | channel u8 | from u64 | to u64 | cluster
//! welcome   1 | version u16 | node u64 | cluster
//! refusal   2 | reason u8 | text
//! cluster   length u8 | bytes            length 0: the node belongs to none yet
//! ```
//! Both are preceded by a length u16. Nothing else is read before the hello has been judged.

use crate::channel::Channel;

const MAGIC: &[u8; 8] = b"DSPXPEER";
const WELCOME: u8 = 1;
const REFUSAL: u8 = 2;

/// The versions of the frames that this version speaks.
pub(crate) const VERSIONS: (u16, u16) = (1, 1);
/// The longest hello, welcome or refusal.
pub(crate) const LONGEST: usize = 4096;
const CLUSTER_MAX: usize = 255;

/// Who a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its number, for as long as it has its data directory.
    pub node: u64,
    /// The cluster it belongs to; `None` until there is one.
    pub cluster: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) versions: (u16, u16),
    pub(crate) channel: u8,
    pub(crate) from: Identity,
    /// Whom the caller expects; 0: whoever is there.
    pub(crate) to: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Welcome {
    pub(crate) version: u16,
    pub(crate) node: Identity,
}

/// Why a caller is turned away. The numbers are on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    Version = 1,
    Cluster = 2,
    Node = 3,
    Channel = 4,
    Busy = 5,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    pub(crate) text: String,
}

/// Decides about a caller.
pub(crate) fn judge(hello: &Hello, own: &Identity) -> Result<(Channel, Welcome), Refusal> {
    let refuse = |reason, text| Err(Refusal { reason, text });
    let version = hello.versions.1.min(VERSIONS.1);
    if version < hello.versions.0 || version < VERSIONS.0 {
        return refuse(
            Reason::Version,
            format!(
                "node {} speaks the peer protocol {} to {}, node {} speaks {} to {}: upgrade the older one, one version \
                 at a time",
                own.node, VERSIONS.0, VERSIONS.1, hello.from.node, hello.versions.0, hello.versions.1
            ),
        );
    }
    if let (Some(theirs), Some(ours)) = (&hello.from.cluster, &own.cluster)
        && theirs != ours
    {
        return refuse(
            Reason::Cluster,
            format!(
                "node {} belongs to cluster {ours}, node {} to cluster {theirs}: check the addresses in cluster.join",
                own.node, hello.from.node
            ),
        );
    }
    if hello.to != 0 && hello.to != own.node {
        return refuse(
            Reason::Node,
            format!("here is node {}, not node {}: its address has changed hands", own.node, hello.to),
        );
    }
    let Some(channel) = Channel::from_number(hello.channel) else {
        return refuse(Reason::Channel, format!("node {} does not know channel {}", own.node, hello.channel));
    };
    Ok((channel, Welcome { version, node: own.clone() }))
}

impl Hello {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.versions.0.to_le_bytes());
        bytes.extend(self.versions.1.to_le_bytes());
        bytes.push(self.channel);
        bytes.extend(self.from.node.to_le_bytes());
        bytes.extend(self.to.to_le_bytes());
        put_cluster(&mut bytes, self.from.cluster.as_deref());
        bytes
    }

    /// `None`: this is no hello.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        if reader.take(8)? != MAGIC {
            return None;
        }
        let versions = (reader.u16()?, reader.u16()?);
        let channel = reader.u8()?;
        let (node, to) = (reader.u64()?, reader.u64()?);
        let cluster = reader.cluster()?;
        // A later version may say more behind this.
        Some(Self { versions, channel, from: Identity { node, cluster }, to })
    }
}

pub(crate) fn encode_answer(answer: &Result<Welcome, Refusal>) -> Vec<u8> {
    match answer {
        Ok(welcome) => {
            let mut bytes = vec![WELCOME];
            bytes.extend(welcome.version.to_le_bytes());
            bytes.extend(welcome.node.node.to_le_bytes());
            put_cluster(&mut bytes, welcome.node.cluster.as_deref());
            bytes
        }
        Err(refusal) => {
            let mut bytes = vec![REFUSAL, refusal.reason as u8];
            bytes.extend(refusal.text.bytes().take(LONGEST - 2));
            bytes
        }
    }
}

/// `None`: this is no answer.
pub(crate) fn decode_answer(bytes: &[u8]) -> Option<Result<Welcome, Refusal>> {
    let mut reader = Reader(bytes);
    match reader.u8()? {
        WELCOME => {
            let version = reader.u16()?;
            let node = Identity { node: reader.u64()?, cluster: reader.cluster()? };
            Some(Ok(Welcome { version, node }))
        }
        REFUSAL => {
            let reason = match reader.u8()? {
                1 => Reason::Version,
                2 => Reason::Cluster,
                3 => Reason::Node,
                5 => Reason::Busy,
                _ => Reason::Channel,
            };
            Some(Err(Refusal { reason, text: String::from_utf8_lossy(reader.0).into_owned() }))
        }
        _ => None,
    }
}

fn put_cluster(bytes: &mut Vec<u8>, cluster: Option<&str>) {
    let cluster = cluster.unwrap_or_default().as_bytes();
    let cluster = &cluster[..cluster.len().min(CLUSTER_MAX)];
    bytes.push(u8::try_from(cluster.len()).unwrap_or(u8::MAX));
    bytes.extend_from_slice(cluster);
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.take(2)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn cluster(&mut self) -> Option<Option<String>> {
        let length = self.u8()?;
        let text = String::from_utf8(self.take(length.into())?.to_vec()).ok()?;
        Some((!text.is_empty()).then_some(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(node: u64, cluster: Option<&str>) -> Identity {
        Identity { node, cluster: cluster.map(str::to_owned) }
    }

    fn hello() -> Hello {
        Hello { versions: VERSIONS, channel: 1, from: identity(1, Some("c")), to: 2 }
    }

    #[test]
    fn a_hello_and_its_answers_are_golden() {
        let bytes = hello().encode();
        let golden = b"DSPXPEER\x01\0\x01\0\x01\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x01c";
        assert_eq!(bytes, golden);
        assert_eq!(Hello::decode(golden), Some(hello()));
        let welcome = Ok(Welcome { version: 1, node: identity(2, None) });
        assert_eq!(encode_answer(&welcome), b"\x01\x01\0\x02\0\0\0\0\0\0\0\0");
        let refusal = Err(Refusal { reason: Reason::Node, text: "no".to_owned() });
        assert_eq!(encode_answer(&refusal), b"\x02\x03no");
        for answer in [welcome, refusal] {
            assert_eq!(decode_answer(&encode_answer(&answer)), Some(answer));
        }
    }

    #[test]
    fn strangers_are_turned_away_and_told_why() {
        let own = identity(2, Some("c"));
        assert!(judge(&hello(), &own).is_ok());
        let reason = |hello: Hello| judge(&hello, &own).expect_err("turned away").reason;
        assert_eq!(reason(Hello { versions: (2, 3), ..hello() }), Reason::Version);
        assert_eq!(reason(Hello { from: identity(1, Some("d")), ..hello() }), Reason::Cluster);
        assert_eq!(reason(Hello { to: 3, ..hello() }), Reason::Node);
        assert_eq!(reason(Hello { channel: 99, ..hello() }), Reason::Channel);
    }

    #[test]
    fn nodes_without_a_cluster_may_talk_to_find_one() {
        let own = identity(2, None);
        assert!(judge(&hello(), &own).is_ok());
        assert!(judge(&Hello { from: identity(1, None), to: 0, ..hello() }, &identity(2, Some("c"))).is_ok());
    }

    #[test]
    fn the_greatest_common_version_is_spoken() {
        let (_, welcome) = judge(&Hello { versions: (1, 9), ..hello() }, &identity(2, None)).expect("welcome");
        assert_eq!(welcome.version, 1);
    }

    #[test]
    fn what_is_no_hello_is_none() {
        let whole = hello().encode();
        for cut in 0..whole.len() {
            assert_eq!(Hello::decode(&whole[..cut]), None);
        }
        assert_eq!(Hello::decode(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), None);
        assert_eq!(decode_answer(&[]), None);
        assert_eq!(decode_answer(&[9, 9, 9]), None);
    }
}
