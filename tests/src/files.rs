//! This module replaces files as an operator's tools do.

use std::path::Path;

/// Copies a folder with all that is in it.
///
/// # Panics
/// If it cannot be read or written.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            std::fs::copy(&path, &target).expect("a copy");
        }
    }
}

/// Writes a new file beside the old one and renames it there.
///
/// # Panics
/// If it cannot be written.
pub(crate) fn replace(path: &Path, text: &str) {
    // A registry passes over names that begin with a dot.
    let name = path.file_name().expect("a file's name").to_string_lossy();
    let beside = path.with_file_name(format!(".new-{name}"));
    std::fs::write(&beside, text).expect("a file");
    std::fs::rename(&beside, path).expect("a rename");
}

/// Replaces a file by an edit of its text.
///
/// # Panics
/// If it cannot be read or written.
pub(crate) fn edit(path: &Path, edit: impl FnOnce(String) -> String) {
    let text = std::fs::read_to_string(path).expect("a file of text");
    replace(path, &edit(text));
}
