//! The envelope and the fields of stored bytes and of messages: everything is checked, everything is consumed.

use std::io;

const MAGIC: [u8; 2] = [0xD5, 0x9E];
const VERSION: u8 = 1;

pub(super) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(super) fn new(kind: u8, capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(4 + capacity);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[VERSION, kind]);
        Self { bytes }
    }

    pub(super) fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.raw(&value.to_le_bytes());
    }

    /// The number of things that follow; nothing stored comes near the limit of 2^32.
    pub(super) fn count(&mut self, count: usize) {
        self.raw(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Its length u32, then the text.
    pub(super) fn text(&mut self, text: &str) {
        self.count(text.len());
        self.raw(text.as_bytes());
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

pub(super) struct Reader<'a> {
    what: &'static str,
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Checks the envelope; returns the kind and a reader of the fields.
    pub(super) fn open(what: &'static str, bytes: &'a [u8]) -> io::Result<(u8, Self)> {
        match bytes {
            [magic_0, magic_1, version, kind, fields @ ..] if [*magic_0, *magic_1] == MAGIC => {
                if *version != VERSION {
                    return Err(damaged(
                        what,
                        format!("format {version} is unknown, this version reads {VERSION}: start a newer dspex"),
                    ));
                }
                Ok((*kind, Self { what, bytes: fields }))
            }
            _ => Err(damaged(what, "it does not start as it should")),
        }
    }

    pub(super) fn open_as(what: &'static str, kind: u8, bytes: &'a [u8]) -> io::Result<Self> {
        let (found, reader) = Self::open(what, bytes)?;
        if found != kind {
            return Err(damaged(what, format!("kind {found} where {kind} belongs")));
        }
        Ok(reader)
    }

    pub(super) fn take(&mut self, count: usize) -> io::Result<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or_else(|| damaged(self.what, "cut short"))?;
        self.bytes = rest;
        Ok(taken)
    }

    pub(super) fn u8(&mut self) -> io::Result<u8> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn text(&mut self) -> io::Result<String> {
        let length = self.u32()?;
        let bytes = self.take(length as usize)?.to_vec();
        String::from_utf8(bytes).map_err(|_| damaged(self.what, "a text is not UTF-8"))
    }

    pub(super) fn flag(&mut self) -> io::Result<bool> {
        match self.take(1)? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(damaged(self.what, "a flag is neither 0 nor 1")),
        }
    }

    pub(super) fn u32(&mut self) -> io::Result<u32> {
        let bytes = self.take(4)?;
        bytes.try_into().map(u32::from_le_bytes).map_err(|_| damaged(self.what, "cut short"))
    }

    pub(super) fn u64(&mut self) -> io::Result<u64> {
        let bytes = self.take(8)?;
        bytes.try_into().map(u64::from_le_bytes).map_err(|_| damaged(self.what, "cut short"))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.bytes)
    }

    pub(super) fn end(&self) -> io::Result<()> {
        if self.bytes.is_empty() { Ok(()) } else { Err(damaged(self.what, "there are bytes after its end")) }
    }
}

pub(super) fn damaged(what: &str, detail: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a {what} cannot be read: {}", detail.into()))
}
