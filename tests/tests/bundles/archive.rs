//! Bundles by hand: what no program of ours would pack.

/// What an entry is.
#[derive(Clone, Copy)]
pub enum Kind<'a> {
    File(&'a [u8]),
    /// It promises so many bytes.
    Promise(u64),
    Link(&'a str),
    /// What there is no such thing as.
    Other(u8),
}

/// The bytes of a bundle with these entries, in this order, whatever they are.
pub fn bundle(entries: &[(&str, Kind<'_>)]) -> Vec<u8> {
    let mut bytes = b"dspex-bundle\x01".to_vec();
    bytes.extend_from_slice(&(entries.len() as u32).to_le_bytes());
    let mut contents = Vec::new();
    for (path, kind) in entries {
        bytes.push(match kind {
            Kind::File(_) | Kind::Promise(_) => 0,
            Kind::Link(_) => 2,
            Kind::Other(kind) => *kind,
        });
        text(&mut bytes, path);
        match kind {
            Kind::File(file) => {
                bytes.extend_from_slice(&(file.len() as u64).to_le_bytes());
                contents.extend_from_slice(file);
            }
            Kind::Promise(promised) => bytes.extend_from_slice(&promised.to_le_bytes()),
            Kind::Link(target) => text(&mut bytes, target),
            Kind::Other(_) => {}
        }
    }
    [bytes, contents].concat()
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend_from_slice(&(text.len() as u16).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
}
