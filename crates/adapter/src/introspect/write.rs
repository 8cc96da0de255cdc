//! `Files` puts drafted files beside what a person has made of the last draft: a file that nobody changed is
//! replaced, changes on both sides are merged (three-way merge), and what was deleted stays deleted. Where
//! changes meet, nothing at all is written but both versions beside the file.

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
    /// A person had deleted it, and it stays so.
    Deleted,
    /// Both changed the same lines: nothing was written, and `FILE.conflict` has both until a person deletes
    /// it.
    Conflict,
    /// Another file has a conflict, so this one was left as it is.
    Left,
}

/// The folder of the last drafts as they were drafted.
const BASE: &str = ".introspect";

/// What is to be done with one file.
struct Step {
    file: PathBuf,
    base: PathBuf,
    draft: String,
    /// The new content, if it changes; of a conflict, both versions.
    content: Option<String>,
    written: Written,
}

/// Writes the drafted files, or, if one has a conflict, none of them. Returns what was done to each.
///
/// # Errors
/// A sentence that names the file.
pub(super) fn write(folder: &Path, files: Vec<(PathBuf, String)>) -> Result<Vec<(PathBuf, Written)>, String> {
    let steps: Result<Vec<Step>, String> =
        files.into_iter().map(|(name, text)| step(folder, &name, text)).collect();
    let mut steps = steps?;
    let has_conflict = steps.iter().any(|step| step.written == Written::Conflict);
    for step in &mut steps {
        match (has_conflict, step.written) {
            (true, Written::Conflict) => {
                if let Some(both) = &step.content {
                    save(&conflict_of(&step.file), both)?;
                    // The person settles it in the file itself, from this draft on.
                    save(&step.base, &step.draft)?;
                }
            }
            (true, _) => step.written = Written::Left,
            (false, _) => {
                if let Some(content) = &step.content {
                    save(&step.file, content)?;
                }
                save(&step.base, &step.draft)?;
            }
        }
    }
    Ok(steps.into_iter().map(|step| (step.file, step.written)).collect())
}

fn step(folder: &Path, name: &Path, draft: String) -> Result<Step, String> {
    let file = folder.join(name);
    let base = folder.join(BASE).join(name);
    let read = |path: &Path| chapar_files::read_text_if_any(path).map_err(|error| wrong(path, &error));
    let (content, written) = match (read(&file)?, read(&base)?) {
        _ if conflict_of(&file).exists() => (None, Written::Conflict),
        (None, None) => (Some(draft.clone()), Written::New),
        (None, Some(_)) => (None, Written::Deleted),
        (Some(own), _) if own == draft => (None, Written::Unchanged),
        (Some(own), Some(last)) if own == last => (Some(draft.clone()), Written::Replaced),
        (Some(own), last) => match diffy::merge(last.as_deref().unwrap_or_default(), &own, &draft) {
            Ok(merged) if merged == own => (None, Written::Unchanged),
            Ok(merged) => (Some(merged), Written::Merged),
            Err(both) => (Some(both), Written::Conflict),
        },
    };
    Ok(Step { file, base, draft, content, written })
}

fn conflict_of(file: &Path) -> PathBuf {
    let mut name = file.to_owned().into_os_string();
    name.push(".conflict");
    PathBuf::from(name)
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
        let folder = folder.path();
        let (name, other) = (PathBuf::from("v1/a.proto"), PathBuf::from("v1/b.sql"));
        let file = folder.join(&name);
        let draft = |text: &str| {
            let files = vec![(name.clone(), text.to_owned()), (other.clone(), text.to_owned())];
            let written = write(folder, files).unwrap();
            (written[0].1, written[1].1)
        };
        assert_eq!(draft("a\nb\nc\nd\ne\n"), (Written::New, Written::New));
        assert_eq!(draft("a\nb\nc\nd\ne\n").0, Written::Unchanged);
        assert_eq!(draft("a\nb\nc\nd\ne\nf\n").0, Written::Replaced);
        std::fs::write(&file, "A\nb\nc\nd\ne\nf\n").unwrap();
        std::fs::remove_file(folder.join(&other)).unwrap();
        assert_eq!(draft("a\nb\nc\nd\ne\ng\n"), (Written::Merged, Written::Deleted));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "A\nb\nc\nd\ne\ng\n");
        assert!(!folder.join(&other).exists());

        // Where both changed a line, nothing is written, until the person has settled it.
        for _ in 0..2 {
            assert_eq!(draft("x\nb\nc\nd\ne\ng\n"), (Written::Conflict, Written::Left));
            assert_eq!(std::fs::read_to_string(&file).unwrap(), "A\nb\nc\nd\ne\ng\n");
        }
        let both = std::fs::read_to_string(folder.join("v1/a.proto.conflict")).unwrap();
        assert!(both.contains('x') && both.contains('A'), "{both}");
        std::fs::remove_file(folder.join("v1/a.proto.conflict")).unwrap();
        assert_eq!(draft("x\nb\nc\nd\ne\ng\n").0, Written::Unchanged);
    }
}
