//! This build script generates the messages of `chapar.meta.v1`, `chapar.inquiry.v1` and `chapar.admin.v1`.
//! It needs no `protoc`.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    for name in ["meta", "inquiry", "admin"] {
        println!("cargo::rerun-if-changed={}", root.join("chapar").join(name).display());
        let mut compiler = protox::Compiler::new([&root])?;
        compiler.include_imports(true).open_file(format!("chapar/{name}/v1/{name}.proto"))?;
        tonic_prost_build::configure()
            .build_client(false)
            .build_server(false)
            .compile_fds(compiler.file_descriptor_set())?;
    }
    Ok(())
}
