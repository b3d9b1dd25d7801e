//! The sandbox of a `dspex node`: what hostile programs try is stopped and the node stays well, each attempt is shown to work
//! without it, and ordinary programs do what they did.

mod attempts;
mod lacking;
mod ordinary;
mod sessions;
mod settings;
mod subject;
