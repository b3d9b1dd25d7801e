//! Projects that were sent along, unpacked on this node's disk for as long as there is room: the blobs are what counts, and give them
//! again. Which of them go is decided by `shelf`; here it is done.

mod shelf;

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dspex_bundle::{Archive, Limits, Stamp, remove, stamp, unpack};
use dspex_model::Digest;
use dspex_storage::BlobStore;
use tokio::sync::Mutex;
use tracing::{info, warn};

use crate::error::{SubmitError, SubmitErrorKind};
use shelf::{NoRoom, Place, make_room};

/// What every file takes besides its contents.
const FILE_COST_BYTES: u64 = 4096;
/// The list of what is in a bundle, beside the contents.
const TABLE_BYTES_MAX: u64 = 48 << 20;

/// How much room bundles have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundleSettings {
    /// The files of one, together.
    pub size_max: u64,
    /// Of all that are unpacked.
    pub cache_max: u64,
}

impl Default for BundleSettings {
    fn default() -> Self {
        Self { size_max: 256 << 20, cache_max: 2 << 30 }
    }
}

/// The unpacked projects of a node.
#[derive(Debug)]
pub struct Bundles {
    directory: PathBuf,
    settings: BundleSettings,
    unpacked: Mutex<Unpacked>,
}

#[derive(Debug, Default)]
struct Unpacked {
    held: Vec<Held>,
    /// Of names and of uses: neither is ever the same twice.
    count: u64,
}

#[derive(Debug)]
struct Held {
    bundle: Arc<Bundle>,
    stamp: Stamp,
    bytes: u64,
    used: u64,
    /// Something wrote into it: who has it keeps it, and nobody else gets it.
    spoiled: bool,
}

/// An unpacked project. It stays where it is while somebody has it.
#[derive(Debug)]
pub struct Bundle {
    digest: Digest,
    name: String,
    root: PathBuf,
    directories: Vec<String>,
}

impl Bundle {
    /// Where it was unpacked.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether it has such a directory; "" is the root.
    pub fn has_directory(&self, path: &str) -> bool {
        path.is_empty() || self.directories.binary_search_by(|known| known.as_str().cmp(path)).is_ok()
    }
}

impl Bundles {
    /// In this directory, which is made when the first project comes, and emptied now: what an earlier life of the node left there is
    /// not trusted.
    pub fn open(directory: &Path, settings: BundleSettings) -> Self {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if let Err(error) = remove(directory, &name.to_string_lossy()) {
                warn!(%error, name = %name.to_string_lossy(), "an unpacked project of an earlier life cannot be removed");
            }
        }
        Self { directory: directory.to_owned(), settings, unpacked: Mutex::default() }
    }

    /// The project of a blob: unpacked before, or now. One at a time, so that two runs of one project share what is unpacked.
    pub(crate) async fn get(&self, digest: Digest, blobs: &BlobStore) -> Result<Arc<Bundle>, SubmitError> {
        let mut unpacked = self.unpacked.lock().await;
        unpacked.count += 1;
        let now = unpacked.count;
        if let Some(bundle) = unpacked.known(digest, now).await {
            return Ok(bundle);
        }
        let bytes = self.read(digest, blobs).await?;
        let limits = Limits::of_bytes(self.settings.size_max);
        let (needed, bytes) = blocking(move || {
            let archive = Archive::open(&bytes, &limits).map_err(|refusal| invalid(&refusal))?;
            let needed = archive.bytes() + (archive.entries().len() as u64 + 1) * FILE_COST_BYTES;
            Ok((needed, bytes))
        })
        .await?;
        self.make_room(&mut unpacked, needed).await?;
        let name = format!("{}-{now}", &digest.to_string()[..16]);
        let parent = self.directory.clone();
        let (stamp, directories, name, root) = blocking(move || {
            let archive = Archive::open(&bytes, &limits).map_err(|refusal| invalid(&refusal))?;
            make_directory(&parent)?;
            unpack(&archive, &parent, &name)?;
            // Programs see it by its own name.
            let root = parent.canonicalize()?.join(&name);
            Ok((stamp(&root)?, directories(&archive), name, root))
        })
        .await?;
        info!(bundle = %digest, bytes = needed, "unpacked a project");
        let bundle = Arc::new(Bundle { digest, name, root, directories });
        unpacked.held.push(Held { bundle: Arc::clone(&bundle), stamp, bytes: needed, used: now, spoiled: false });
        Ok(bundle)
    }

    async fn read(&self, digest: Digest, blobs: &BlobStore) -> Result<Vec<u8>, SubmitError> {
        let (blobs, size_max) = (blobs.clone(), self.settings.size_max);
        blocking(move || {
            let missing = || {
                let message = format!("the bundle {digest} was not uploaded (Blobs.Put), or not kept: send it again");
                SubmitError::new(SubmitErrorKind::BundleMissing, message)
            };
            let reader = blobs.reader(&digest)?.ok_or_else(missing)?;
            // Before room is made for it.
            if reader.length() > size_max.saturating_add(TABLE_BYTES_MAX) {
                let message = format!(
                    "the bundle has {} bytes; this node takes {size_max} (bundles.size_max): leave something out with .dspexignore",
                    reader.length()
                );
                return Err(SubmitError::new(SubmitErrorKind::TooLarge, message));
            }
            blobs.get(&digest)?.ok_or_else(missing)
        })
        .await
    }

    async fn make_room(&self, unpacked: &mut Unpacked, needed: u64) -> Result<(), SubmitError> {
        let places: Vec<Place> = unpacked.held.iter().map(Held::place).collect();
        let leaving = make_room(&places, needed, self.settings.cache_max).map_err(|NoRoom { in_use }| {
            let message = format!(
                "the project takes {needed} bytes unpacked, those of runs under way {in_use}, and this node has room for {} \
                 (bundles.cache_max): wait for a run to end, or leave something out with .dspexignore",
                self.settings.cache_max
            );
            SubmitError::new(SubmitErrorKind::PoolFull, message)
        })?;
        for position in leaving.into_iter().rev() {
            let held = unpacked.held.remove(position);
            let (directory, name) = (self.directory.clone(), held.bundle.name.clone());
            let removed = tokio::task::spawn_blocking(move || remove(&directory, &name)).await;
            match removed {
                Ok(Ok(())) => {}
                Ok(Err(error)) => warn!(%error, name = held.bundle.name, "an unpacked project cannot be removed"),
                Err(error) => warn!(%error, "removing an unpacked project failed"),
            }
        }
        Ok(())
    }
}

impl Unpacked {
    /// One that is there, and as it was unpacked.
    async fn known(&mut self, digest: Digest, now: u64) -> Option<Arc<Bundle>> {
        let held = self.held.iter_mut().find(|held| held.bundle.digest == digest && !held.spoiled)?;
        let root = held.bundle.root.clone();
        let present = tokio::task::spawn_blocking(move || stamp(&root)).await.ok().and_then(Result::ok);
        if present != Some(held.stamp) {
            warn!(bundle = %digest, "something wrote into an unpacked project: it is unpacked anew");
            held.spoiled = true;
            return None;
        }
        held.used = now;
        Some(Arc::clone(&held.bundle))
    }
}

impl Held {
    fn place(&self) -> Place {
        Place { bytes: self.bytes, used: self.used, in_use: Arc::strong_count(&self.bundle) > 1, spoiled: self.spoiled }
    }
}

fn make_directory(path: &Path) -> io::Result<()> {
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// In their order.
fn directories(archive: &Archive<'_>) -> Vec<String> {
    let paths = archive.entries().iter().map(|entry| entry.path.as_str());
    let above = |path: &'_ str| path.match_indices('/').map(|(end, _)| path[..end].to_owned()).collect::<Vec<_>>();
    let mut directories: Vec<String> = paths.flat_map(above).collect();
    directories.sort();
    directories.dedup();
    directories
}

fn invalid(refusal: &dspex_bundle::Refusal) -> SubmitError {
    let kind = match refusal {
        dspex_bundle::Refusal::TooLarge { .. } | dspex_bundle::Refusal::TooManyFiles { .. } => {
            SubmitErrorKind::TooLarge
        }
        _ => SubmitErrorKind::BundleInvalid,
    };
    SubmitError::new(kind, format!("the bundle is refused: {refusal}"))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SubmitError> + Send + 'static,
) -> Result<T, SubmitError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| SubmitError::new(SubmitErrorKind::Internal, error))?
}

#[cfg(test)]
mod tests;
