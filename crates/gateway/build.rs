//! This build script generates the servers of `chapar.meta.v1`, `chapar.inquiry.v1`, `chapar.admin.v1` and
//! `chapar.evidence.v1`'s `Follow`,
//! and embeds their descriptors for reflection. It needs no `protoc`.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    for (package, name) in
        [("meta", "meta"), ("inquiry", "inquiry"), ("admin", "admin"), ("evidence", "follow")]
    {
        println!("cargo::rerun-if-changed={}", root.join("chapar").join(package).display());
        let mut compiler = protox::Compiler::new([&root])?;
        let file = format!("chapar/{package}/v1/{name}.proto");
        compiler.include_imports(true).include_source_info(true).open_file(file)?;
        std::fs::write(out.join(format!("{name}.binpb")), compiler.encode_file_descriptor_set())?;
        tonic_prost_build::configure()
            .build_client(false)
            .build_transport(false)
            .compile_fds(compiler.file_descriptor_set())?;
    }
    Ok(())
}
