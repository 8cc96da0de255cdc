//! `folder` compiles `.proto` files to the bytes of a `FileDescriptorSet`, with options and comments. The
//! include root is the folder's parent, so that a file is `civil/v1/civil.proto` wherever the folder is.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use chapar_model::line_and_column;
use miette::Diagnostic as _;
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

use crate::finding::{Error, Finding};
use crate::options::BUILT_IN;

/// Compiles every `.proto` below `folder` that is not hidden; the names of the folder's own files come with
/// the bytes.
pub(crate) fn folder(folder: &Path) -> Result<(Bytes, Vec<String>), Error> {
    let root = folder.canonicalize().map_err(|source| Error::Read { path: folder.to_owned(), source })?;
    let include = root.parent().unwrap_or(&root).to_owned();
    let mut names = Vec::new();
    collect(&root, &root, &include, &mut names)?;
    names.sort();
    if names.is_empty() {
        return Err(Error::Empty(folder.to_owned()));
    }
    let mut resolver = ChainFileResolver::new();
    // The first resolver that has a file decides. Built-in files come first, so that a folder cannot replace
    // Chapar's options by other ones of the same name.
    resolver.add(BuiltIn);
    resolver.add(GoogleFileResolver::new());
    // The parent comes before the folder itself, because the folder's own files are named from the parent.
    resolver.add(Include(include));
    resolver.add(Include(root));
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).include_source_info(true);
    let mut findings = Vec::new();
    for name in &names {
        // The other files are compiled after an error as well, so that all findings are reported at once.
        if let Err(error) = compiler.open_file(name) {
            findings.extend(all(name, &error));
        }
    }
    // A file that is imported reports its findings again.
    findings.sort();
    findings.dedup();
    if findings.is_empty() {
        Ok((compiler.encode_file_descriptor_set().into(), names))
    } else {
        Err(Error::Invalid(findings))
    }
}

/// Compiles files that are built in.
pub(crate) fn built_in(names: &[&str]) -> Result<Bytes, protox::Error> {
    let mut resolver = ChainFileResolver::new();
    resolver.add(BuiltIn);
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler.include_imports(true);
    for name in names {
        compiler.open_file(name)?;
    }
    Ok(compiler.encode_file_descriptor_set().into())
}

/// Folders of shared imports. A contract folder may carry copies of them, which are not part of the contract.
pub(crate) const SHARED: [&str; 3] = ["buf", "chapar", "google"];

fn collect(folder: &Path, root: &Path, include: &Path, names: &mut Vec<String>) -> Result<(), Error> {
    let unreadable = |source| Error::Read { path: folder.to_owned(), source };
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        // Hidden folders hold other versions of the same files: a mounted ConfigMap's `..data`, a `.git`.
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let path: PathBuf = entry.path();
        if path.is_dir() {
            let is_shared = folder == root && SHARED.iter().any(|name| entry.file_name() == *name);
            if !is_shared {
                collect(&path, root, include, names)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            let name = path.strip_prefix(include).unwrap_or(&path);
            let parts: Vec<_> = name.components().map(|part| part.as_os_str().to_string_lossy()).collect();
            names.push(parts.join("/"));
        }
    }
    Ok(())
}

/// All findings of the compiler in one file.
fn all(name: &str, error: &protox::Error) -> Vec<Finding> {
    let file = error.file().unwrap_or(name);
    let code = error.source_code();
    let related = error
        .related()
        .into_iter()
        .flatten()
        .map(|related| finding(file, related, related.source_code().or(code)));
    std::iter::once(finding(file, error, code)).chain(related).collect()
}

fn finding(file: &str, error: &dyn miette::Diagnostic, code: Option<&dyn miette::SourceCode>) -> Finding {
    let offset = error.labels().and_then(|mut labels| labels.next()).map(|label| label.offset());
    // The text up to the label is enough to count lines and columns.
    let text = code.and_then(|code| {
        let span = miette::SourceSpan::from(0..offset?);
        code.read_span(&span, 0, 0).ok().map(|contents| String::from_utf8_lossy(contents.data()).into_owned())
    });
    let (line, column) = match (text, offset) {
        (Some(text), Some(offset)) => line_and_column(&text, offset),
        _ => (0, 0),
    };
    Finding { file: file.to_owned(), line, column, message: error.to_string() }
}

/// Files below a folder, by their path from it. A byte order mark, which some editors write, is passed over.
struct Include(PathBuf);

impl FileResolver for Include {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        // The name comes from an `import` line and must not leave the folder by `..` or an absolute path.
        let is_inside =
            Path::new(name).components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if !is_inside {
            return Err(protox::Error::file_not_found(name));
        }
        match chapar_files::read_text(&self.0.join(name)) {
            Ok(text) => File::from_source(name, &text),
            // `file_not_found` lets the chain ask the next resolver; any other error must stop it.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(protox::Error::file_not_found(name))
            }
            Err(error) => Err(protox::Error::new(error)),
        }
    }
}

struct BuiltIn;

impl FileResolver for BuiltIn {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match BUILT_IN.iter().find(|(known, _)| *known == name) {
            Some((name, text)) => File::from_source(name, text),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}
