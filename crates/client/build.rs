//! This build script generates the messages of `chapar.meta.v1`. It needs no `protoc`.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo::rerun-if-changed={}", root.join("chapar/meta").display());
    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_imports(true).open_file("chapar/meta/v1/meta.proto")?;
    tonic_prost_build::configure()
        .build_client(false)
        .build_server(false)
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
