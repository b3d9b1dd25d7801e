//! Compiles the proto files; protox stands in for protoc, so that users need none.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["runs", "blobs", "admin", "pools", "sessions", "executions", "programs", "cluster", "environments"]
        .map(|name| format!("proto/dspex/v1/{name}.proto"));
    let out = std::env::var("OUT_DIR")?;
    // What reflection shows: nothing that is for nodes only.
    let public = protox::compile(&files, ["proto"])?;
    std::fs::write(Path::new(&out).join("dspex.v1.bin"), prost_encode(&public))?;
    let all = files.into_iter().chain(["proto/dspex/peer/v1/peer.proto".to_owned()]);
    let descriptors = protox::compile(all, ["proto"])?;
    tonic_prost_build::configure().btree_map(".").bytes(".").compile_fds(descriptors)?;
    println!("cargo:rerun-if-changed=proto");
    Ok(())
}

fn prost_encode(descriptors: &impl protox::prost::Message) -> Vec<u8> {
    descriptors.encode_to_vec()
}
