//! What the blobs' device holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use dspex_model::Digest;

use super::device::Image;

/// Values under their digests.
#[derive(Debug, Clone, Default)]
pub(crate) struct BlobImage {
    pub(crate) values: BTreeMap<Digest, Arc<[u8]>>,
}

/// A batch.
#[derive(Debug)]
pub(crate) enum BlobWrite {
    Put(Vec<(Digest, Arc<[u8]>)>),
    Delete(Vec<Digest>),
}

impl Image for BlobImage {
    type Write = BlobWrite;

    fn take(&mut self, write: &BlobWrite) {
        match write {
            BlobWrite::Put(values) => {
                self.values.extend(values.iter().map(|(digest, bytes)| (*digest, Arc::clone(bytes))));
            }
            BlobWrite::Delete(digests) => {
                for digest in digests {
                    self.values.remove(digest);
                }
            }
        }
    }
}
