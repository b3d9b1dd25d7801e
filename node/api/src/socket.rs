//! The path of a Unix socket, however long its directory's name is.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// What `sockaddr_un` holds, without the closing zero.
const ADDRESS_LIMIT_BYTES: usize = 107;

/// A path to bind or connect to. A path that is too long for the kernel is reached through an opened directory,
/// so it is valid as long as this value lives; both ends may use either form.
#[derive(Debug)]
pub struct SocketPath {
    path: PathBuf,
    // Keeps `/proc/self/fd/N` alive.
    _directory: Option<File>,
}

impl SocketPath {
    /// Makes `path` usable as a socket's address; its directory must exist.
    pub fn new(path: &Path) -> io::Result<Self> {
        if path.as_os_str().len() <= ADDRESS_LIMIT_BYTES {
            return Ok(Self { path: path.to_owned(), _directory: None });
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the socket's path names no file"));
        };
        let directory = File::open(parent)?;
        let short = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
        if short.as_os_str().len() > ADDRESS_LIMIT_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("the socket's name exceeds {ADDRESS_LIMIT_BYTES} bytes: {}", path.display()),
            ));
        }
        Ok(Self { path: short, _directory: Some(directory) })
    }

    /// The path to hand to bind or connect.
    pub fn as_path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn a_deep_directory_is_reached_from_both_ends() -> io::Result<()> {
        let root = std::env::temp_dir().join(format!("dspex-socket-{}", std::process::id()));
        let deep = root.join("d".repeat(120));
        std::fs::create_dir_all(&deep)?;
        let path = deep.join("node.sock");
        let bound = SocketPath::new(&path)?;
        let listener = UnixListener::bind(bound.as_path())?;
        drop(bound);
        let mut client = UnixStream::connect(SocketPath::new(&path)?.as_path())?;
        client.write_all(b"x")?;
        let mut byte = [0];
        listener.accept()?.0.read_exact(&mut byte)?;
        assert_eq!(&byte, b"x");
        std::fs::remove_dir_all(&root)
    }

    #[test]
    fn a_short_path_is_used_as_it_is() -> io::Result<()> {
        let path = Path::new("/tmp/node.sock");
        assert_eq!(SocketPath::new(path)?.as_path(), path);
        Ok(())
    }
}
