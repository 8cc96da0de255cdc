//! `Source` is the text of one file of a registry, with its name and the places in it.

use std::ops::Range;
use std::path::Path;

use chapar_model::line_and_column;
use miette::NamedSource;

/// One file. `path` is relative to the registry's folder, with `/`.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) named: NamedSource<String>,
}

impl Source {
    pub(crate) fn new(path: String, name: &Path, text: String) -> Self {
        Self { path, named: NamedSource::new(name.display().to_string(), text) }
    }

    pub(crate) fn name(&self) -> &str {
        self.named.name()
    }

    pub(crate) fn text(&self) -> &str {
        self.named.inner()
    }

    /// 1-based line, and column in characters, of a byte offset.
    pub(crate) fn position(&self, span: &Range<usize>) -> (usize, usize) {
        // The start of the span is enough, because editors jump to one place.
        line_and_column(self.text(), span.start)
    }
}
