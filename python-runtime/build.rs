//! Tells Cargo to embed the Python package again when one of its files changes, appears or goes.
//!
//! `include_bytes!` alone notices changes of files that it knows, not new ones.

fn main() {
    println!("cargo:rerun-if-changed=python/dspex");
}
