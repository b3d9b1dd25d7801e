//! What a run executes whose caller shares no file system with its node: code that was sent along, in an environment that the node
//! has.

use serde::{Deserialize, Serialize};

use crate::Digest;

/// Code and environment of a run that was shipped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shipped {
    /// Blob with the project; `None`: the payload needs no files.
    pub bundle: Option<Digest>,
    /// Where workers start, from the project's root; empty: there.
    pub directory: String,
    /// Directories of the project that the caller imports from, from its root.
    pub path: Vec<String>,
    /// The node's name of the environment that was chosen. A name is that node's own: another one is asked for the fingerprint.
    pub environment: String,
    /// What the program needs: `python` and distributions with their versions, in the order of their names. Empty: nobody said, and
    /// the caller named the environment.
    pub fingerprint: Vec<(String, String)>,
}
