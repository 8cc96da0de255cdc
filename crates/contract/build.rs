//! This build script compiles Chapar's options to Rust types and to descriptors. It needs no `protoc`.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // At run time: a target folder that two checkouts share keeps one build script, and with it the path of
    // one of them.
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo::rerun-if-changed={}", root.join("chapar/contract").display());
    println!("cargo::rerun-if-changed={}", root.join("google").display());
    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_imports(true).open_file("chapar/contract/v1/options.proto")?;
    tonic_prost_build::configure()
        .build_client(false)
        .build_server(false)
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
