//! Secrets of this node's making.

use std::fs::File;
use std::io::{self, Read};

/// Bytes of randomness in a secret.
const BYTES: usize = 32;

/// A new one: 64 hexadecimal digits.
pub(crate) fn generate() -> io::Result<String> {
    let mut random = [0u8; BYTES];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}
