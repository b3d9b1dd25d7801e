//! A file that appears when it is complete, under its name at once.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// A file in the making, beside the place that it will have.
pub struct NewFile {
    temporary: NamedTempFile,
    path: PathBuf,
}

impl NewFile {
    /// Begins one. Nobody sees it under its name yet.
    pub fn begin(path: &Path) -> io::Result<Self> {
        Ok(Self { temporary: NamedTempFile::new_in(parent(path))?, path: path.to_owned() })
    }

    /// What is written to.
    pub fn writer(&self) -> io::Result<File> {
        self.temporary.reopen()
    }

    /// Gives it its name when all is `written`. Unless it may `replace` one, a file that is there by now stays.
    pub fn finish(self, written: &File, replace: bool) -> io::Result<()> {
        // A temporary file is private; what a person saves has the usual mode.
        written.set_permissions(usual_mode())?;
        written.sync_all()?;
        let named = match replace {
            true => self.temporary.persist(&self.path),
            false => self.temporary.persist_noclobber(&self.path),
        };
        named.map(|_| ()).map_err(|error| error.error)
    }
}

/// The directory that a file is in.
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn usual_mode() -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    // Reading the mask means setting it; nothing else runs in this process meanwhile.
    let mask = rustix::process::umask(rustix::fs::Mode::empty());
    rustix::process::umask(mask);
    std::fs::Permissions::from_mode(0o666 & !mask.bits())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_that_came_meanwhile_stays_unless_it_may_be_replaced() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("results.csv");
        let write = |replace| {
            let file = NewFile::begin(&path).expect("begun");
            let mut writer = file.writer().expect("opened");
            writer.write_all(b"new").expect("written");
            std::fs::write(&path, "another's").expect("written");
            file.finish(&writer, replace)
        };
        assert_eq!(write(false).expect_err("it is there").kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&path).expect("read"), "another's");
        write(true).expect("replaced");
        assert_eq!(std::fs::read_to_string(&path).expect("read"), "new");
        assert_eq!(std::fs::read_dir(directory.path()).expect("listed").count(), 1, "nothing is left beside it");
    }
}
