//! Generates the messages and services from `proto/`, and keeps their descriptors for reflection.

use prost::Message as _;
use std::path::PathBuf;

const FILES: [&str; 4] = [
    "standfast/v1/vocabulary.proto",
    "standfast/v1/peer.proto",
    "standfast/v1/record.proto",
    "standfast/v1/admin.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());
    let descriptors = protox::compile(FILES, [root])?;
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
