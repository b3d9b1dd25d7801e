//! Files and directories that are nobody else's: tokens, data, keys.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Makes a directory, and those above it, unless they are there.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Puts a line into a file, in the place of what was there; whoever reads meanwhile sees one or the other, whole.
pub(crate) fn write(file: &Path, text: &str) -> io::Result<()> {
    // Nodes that start at the same time leave theirs in one directory.
    let name = file.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let beside = file.with_file_name(format!("{name}.{}.new", std::process::id()));
    let _ = fs::remove_file(&beside);
    let mut written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    written.write_all(text.as_bytes())?;
    written.write_all(b"\n")?;
    written.sync_all()?;
    fs::rename(beside, file)
}
