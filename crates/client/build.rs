//! This build script generates the messages of `chapar.meta.v1`, `chapar.inquiry.v1`, `chapar.admin.v1` and
//! `chapar.evidence.v1`'s `Follow`.
//! It needs no `protoc`.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    for (package, name) in
        [("meta", "meta"), ("inquiry", "inquiry"), ("admin", "admin"), ("evidence", "follow")]
    {
        println!("cargo::rerun-if-changed={}", root.join("chapar").join(package).display());
        let mut compiler = protox::Compiler::new([&root])?;
        compiler.include_imports(true).open_file(format!("chapar/{package}/v1/{name}.proto"))?;
        tonic_prost_build::configure()
            .build_client(false)
            .build_server(false)
            .compile_fds(compiler.file_descriptor_set())?;
    }
    Ok(())
}
