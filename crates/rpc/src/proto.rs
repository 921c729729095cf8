//! The generated code of package `standfast.v1`; `proto/` has the documentation.

/// Descriptors of every file in `proto/`, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

#[expect(missing_docs, unused_qualifications, clippy::all, reason = "generated")]
mod generated {
    tonic::include_proto!("standfast.v1");
}

pub use generated::*;
