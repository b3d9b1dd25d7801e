//! A connection's bytes, whether protected or not, and the short messages of the handshake.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::hello::LONGEST;

/// Bytes in both directions.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection, whether protected or not.
pub type Stream = Box<dyn Duplex>;

/// Reads one message of the handshake.
pub(crate) async fn read_short(stream: &mut Stream) -> io::Result<Vec<u8>> {
    let length = usize::from(stream.read_u16_le().await?);
    if length > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "longer than a handshake"));
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// Writes one message of the handshake.
pub(crate) async fn write_short(stream: &mut Stream, bytes: &[u8]) -> io::Result<()> {
    let length = u16::try_from(bytes.len()).map_err(|_| io::Error::other("longer than a handshake"))?;
    let mut whole = length.to_le_bytes().to_vec();
    whole.extend_from_slice(bytes);
    stream.write_all(&whole).await?;
    stream.flush().await
}
