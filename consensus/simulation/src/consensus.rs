//! The handle under the name that files of dspex-consensus know it by.

pub(crate) use crate::handle::Handle as Consensus;
