//! `write` puts a drafted file beside what a person has made of the last draft: a file that nobody changed is
//! replaced, changes on both sides are merged (three-way merge), and where they meet, the new draft is left
//! beside the file.

use std::path::{Path, PathBuf};

/// What was done with a drafted file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Written {
    /// It is new.
    New,
    /// It is as it was.
    Unchanged,
    /// Nobody had changed it, and it was replaced.
    Replaced,
    /// A person's changes and the draft's are both in it.
    Merged,
    /// Both changed the same lines: the file is as the person left it, and `FILE.conflict` has both.
    Conflict,
}

/// The folder of the last drafts as they were drafted.
const BASE: &str = ".introspect";

/// Writes `text` as the file `name` of `folder`.
///
/// # Errors
/// A sentence that names the file.
pub(super) fn write(folder: &Path, name: &Path, text: &str) -> Result<Written, String> {
    let (file, base) = (folder.join(name), folder.join(BASE).join(name));
    let read = |path: &Path| chapar_files::read_text_if_any(path).map_err(|error| wrong(path, &error));
    let (own, last) = (read(&file)?, read(&base)?);
    let written = match (own, last) {
        (None, _) => {
            save(&file, text)?;
            Written::New
        }
        (Some(own), _) if own == text => Written::Unchanged,
        (Some(own), Some(last)) if own == last => {
            save(&file, text)?;
            Written::Replaced
        }
        (Some(own), last) => match diffy::merge(last.as_deref().unwrap_or_default(), &own, text) {
            Ok(merged) if merged == own => Written::Unchanged,
            Ok(merged) => {
                save(&file, &merged)?;
                Written::Merged
            }
            Err(both) => {
                let mut beside = file.into_os_string();
                beside.push(".conflict");
                save(&PathBuf::from(beside), &both)?;
                // The base stays, so that the next run finds the same conflict until it is settled.
                return Ok(Written::Conflict);
            }
        },
    };
    save(&base, text)?;
    Ok(written)
}

fn save(file: &Path, text: &str) -> Result<(), String> {
    let parent = file.parent().unwrap_or(Path::new(""));
    std::fs::create_dir_all(parent)
        .and_then(|()| std::fs::write(file, text))
        .map_err(|error| wrong(file, &error))
}

fn wrong(file: &Path, error: &dyn std::fmt::Display) -> String {
    format!("`{}`: {error}", file.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_persons_changes_stay_and_meet_the_drafts() {
        let folder = tempfile::tempdir().unwrap();
        let (folder, name) = (folder.path(), Path::new("v1/a.proto"));
        let file = folder.join(name);
        let draft = |text: &str| write(folder, name, text).unwrap();
        assert_eq!(draft("a\nb\nc\nd\ne\n"), Written::New);
        assert_eq!(draft("a\nb\nc\nd\ne\n"), Written::Unchanged);
        assert_eq!(draft("a\nb\nc\nd\ne\nf\n"), Written::Replaced);
        std::fs::write(&file, "A\nb\nc\nd\ne\nf\n").unwrap();
        assert_eq!(draft("a\nb\nc\nd\ne\ng\n"), Written::Merged);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "A\nb\nc\nd\ne\ng\n");
        assert_eq!(draft("x\nb\nc\nd\ne\ng\n"), Written::Conflict);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "A\nb\nc\nd\ne\ng\n");
        assert!(std::fs::read_to_string(folder.join("v1/a.proto.conflict")).unwrap().contains("x"));
    }
}
