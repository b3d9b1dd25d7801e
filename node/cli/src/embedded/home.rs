//! The home directory of an embedded node.

use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use dspex_api::reason;

use crate::error::CommandError;

/// `${DSPEX_HOME:-${XDG_DATA_HOME:-~/.local/share}/dspex}`, an absolute path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home(PathBuf);

impl Home {
    /// The home of this process.
    pub fn of_this_process() -> Result<Self, CommandError> {
        let directory = std::env::current_dir()?;
        locate(&|name| std::env::var_os(name).map(PathBuf::from), &directory).ok_or_else(|| {
            CommandError::usage("the home directory is unknown: HOME is not set")
                .hint("set DSPEX_HOME to a directory of its own")
        })
    }

    /// A home elsewhere.
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where the node listens.
    pub fn socket(&self) -> PathBuf {
        self.0.join("node.sock")
    }

    /// What the node wrote to stdout and stderr.
    pub fn log(&self) -> PathBuf {
        self.0.join("node.log")
    }

    /// Makes the directory, for this user only. One that others may enter is refused rather than changed: it may be
    /// anybody's (DSPEX_HOME=/tmp).
    pub fn create(&self) -> Result<(), CommandError> {
        let failed = |what: String| CommandError::because(reason::NODE_START_FAILED, what);
        let refused = |error: &std::io::Error| refused(self, error);
        let shown = self.0.display();
        if let Some(parent) = self.0.parent() {
            std::fs::create_dir_all(parent).map_err(|error| refused(&error))?;
        }
        match DirBuilder::new().mode(0o700).create(&self.0) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(refused(&error)),
        }
        let metadata = std::fs::metadata(&self.0).map_err(|error| refused(&error))?;
        if !metadata.is_dir() {
            return Err(failed(format!("{shown} is not a directory")));
        }
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(
                failed(format!("{shown} belongs to another user")).hint("set DSPEX_HOME to a directory of your own")
            );
        }
        if metadata.mode() & 0o077 == 0 {
            return Ok(());
        }
        let is_empty = std::fs::read_dir(&self.0).is_ok_and(|mut entries| entries.next().is_none());
        if !is_empty {
            return Err(failed(format!("{shown} is open to other users (mode {:o})", metadata.mode() & 0o7777))
                .hint(format!("chmod 700 {shown} if it is dspex's own, else set DSPEX_HOME to another directory")));
        }
        std::fs::set_permissions(&self.0, Permissions::from_mode(0o700))
            .map_err(|error| failed(format!("{shown}: {error}")))
    }
}

/// What a person has to change is not to be tried again: permissions and read-only disks have a reason of their own.
fn refused(home: &Home, error: &std::io::Error) -> CommandError {
    let reason = match error.kind() {
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
            reason::DATA_DIRECTORY_READ_ONLY
        }
        std::io::ErrorKind::StorageFull => reason::STORAGE_FULL,
        _ => reason::NODE_START_FAILED,
    };
    CommandError::because(reason, format!("the home directory {} cannot be made: {error}", home.0.display()))
        .hint("set DSPEX_HOME to a directory that you may write to")
}

fn locate(variable: &dyn Fn(&str) -> Option<PathBuf>, directory: &Path) -> Option<Home> {
    let set = |name| variable(name).filter(|path| !path.as_os_str().is_empty());
    if let Some(home) = set("DSPEX_HOME") {
        return Some(Home(directory.join(home)));
    }
    // The XDG specification says to ignore relative paths.
    let data = set("XDG_DATA_HOME").filter(|path| path.is_absolute());
    let data = data.or_else(|| set("HOME").map(|home| home.join(".local/share")))?;
    Some(Home(directory.join(data).join("dspex")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(variables: &[(&str, &str)]) -> Option<PathBuf> {
        let variable = |name: &str| {
            let hit = variables.iter().find(|(known, _)| *known == name);
            hit.map(|(_, value)| PathBuf::from(value))
        };
        locate(&variable, Path::new("/work")).map(|home| home.0)
    }

    #[test]
    fn the_home_is_that_of_the_contract() {
        let home = ("HOME", "/root");
        assert_eq!(check(&[home]), Some("/root/.local/share/dspex".into()));
        assert_eq!(check(&[home, ("XDG_DATA_HOME", "/data")]), Some("/data/dspex".into()));
        assert_eq!(check(&[home, ("XDG_DATA_HOME", "data")]), Some("/root/.local/share/dspex".into()));
        assert_eq!(check(&[home, ("DSPEX_HOME", "/x"), ("XDG_DATA_HOME", "/data")]), Some("/x".into()));
        assert_eq!(check(&[("DSPEX_HOME", "x")]), Some("/work/x".into()));
        assert_eq!(check(&[]), None);
    }

    #[test]
    fn the_directory_is_private() -> std::io::Result<()> {
        let root = tempfile::tempdir()?;
        let home = Home(root.path().join("a/b"));
        home.create().expect("made");
        home.create().expect("found again");
        assert_eq!(std::fs::metadata(&home.0)?.mode() & 0o777, 0o700);
        std::fs::write(home.0.join("x"), "")?;
        std::fs::set_permissions(&home.0, Permissions::from_mode(0o755))?;
        let error = home.create().expect_err("others may enter");
        assert!(error.message.contains("open to other users"), "{error}");
        Ok(())
    }
}
