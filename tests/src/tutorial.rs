//! `Tutorial` follows a page of `docs/tutorial` word by word: its files are written, its commands run, and
//! what they say is compared with what the page says.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::binary::chapar;
use crate::repository;

/// Runs SQL as a reader does at the database's console.
type Console = Box<dyn Fn(&str)>;

/// A page, and the environment in which its commands run.
pub struct Tutorial {
    page: String,
    environment: Vec<(String, String)>,
    console: Option<Console>,
}

impl Tutorial {
    /// The page `docs/tutorial/NAME.md`.
    ///
    /// # Panics
    /// If there is none.
    pub fn named(name: &str) -> Self {
        let page = repository().join("docs/tutorial").join(name).with_extension("md");
        Self {
            page: std::fs::read_to_string(page).expect("the page is there"),
            environment: Vec::new(),
            console: None,
        }
    }

    /// The page up to this heading.
    ///
    /// # Panics
    /// If it has no such heading.
    #[must_use]
    pub fn until(mut self, heading: &str) -> Self {
        let end = self.page.find(heading).expect("the page has the heading");
        self.page.truncate(end);
        self
    }

    /// Runs the blocks `sql runs`, as the reader does at the database's console.
    #[must_use]
    pub fn with_console(mut self, console: impl Fn(&str) + 'static) -> Self {
        self.console = Some(Box::new(console));
        self
    }

    /// Sets a variable for every command.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Follows the page in this folder: a block `toml`, `http` or `proto` is a file, whose name is its first
    /// line; `sh` runs, `sh fails` runs and fails, and each line of a block `text` after it is said, with
    /// anything in place of `…`. Returns how many lines were compared.
    ///
    /// # Panics
    /// If something is not as the page says.
    pub fn follow(&self, folder: &Path) -> usize {
        let mut said = String::new();
        let mut compared = 0;
        for (kind, text) in blocks(&self.page) {
            match kind {
                "toml" | "http" | "proto" => {
                    let (path, text) = text.split_once('\n').expect("a file has lines");
                    let path = folder.join(path.trim_start_matches(['#', '/', ' ']));
                    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
                    std::fs::write(path, format!("{text}\n")).expect("a file");
                }
                "sh" | "sh fails" => {
                    let (succeeded, output) = self.run(text, folder);
                    assert_eq!(succeeded, kind == "sh", "{text}\n{output}");
                    said = output;
                }
                "text" => {
                    for wanted in text.lines() {
                        assert!(said.lines().any(|line| has(line, wanted)), "`{wanted}` is not in\n{said}");
                        compared += 1;
                    }
                }
                "sql runs" => self.console.as_ref().expect("a console")(text),
                // What was done before the page begins.
                "sql" | "json" => {}
                other => panic!("a block of `{other}` is neither run nor compared"),
            }
        }
        compared
    }

    /// Everything that a script says, and whether it succeeds.
    fn run(&self, script: &str, folder: &Path) -> (bool, String) {
        let functions = format!("chapar() {{ {:?} \"$@\"; }}\n{script}", chapar());
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &functions])
            .current_dir(folder)
            .env("CHAPAR_SOURCE", repository().canonicalize().expect("the repository is there"))
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .output()
            .expect("bash runs");
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).expect("text"))
    }
}

/// The fenced blocks of a page: what stands after the fence, and the text.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    let fenced = page.split("\n```").enumerate().filter(|(index, _)| index % 2 == 1);
    fenced.filter_map(|(_, block)| block.split_once('\n')).collect()
}

/// Whether a line has the parts of `wanted` between its `…`, in their order.
fn has(line: &str, wanted: &str) -> bool {
    let mut rest = line;
    wanted.split('…').all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}
