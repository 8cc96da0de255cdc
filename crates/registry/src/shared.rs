//! `Shared` interns values that grants have in common while a registry is loaded. It saves memory: of 100,000
//! grants most name the same fields of a method as another grant does.

use std::collections::HashMap;
use std::sync::Arc;

use chapar_contract::wire::UnknownField;
use chapar_model::{MethodPath, RowScopes};
use regex::Regex;

use crate::entry::MethodEntry;
use crate::grant::Disclosure;

/// The values that were built so far.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    disclosures: HashMap<MethodPath, HashMap<Vec<String>, Disclosure>>,
    rows: HashMap<Arc<str>, Arc<RowScopes>>,
    texts: HashMap<String, Arc<str>>,
    patterns: HashMap<String, Regex>,
}

impl Shared {
    /// What `fields` of the method disclose. Key fields and page tokens are always disclosed.
    pub(crate) fn disclosure(
        &mut self,
        entry: &MethodEntry,
        fields: Vec<String>,
    ) -> Result<Disclosure, UnknownField> {
        let of_method = self.disclosures.entry(entry.method.path().clone()).or_default();
        if let Some(known) = of_method.get(&fields) {
            return Ok(known.clone());
        }
        let (disclosed, withheld): (Vec<_>, Vec<_>) = entry
            .method
            .fields()
            .iter()
            .partition(|field| field.is_always_disclosed() || fields.contains(&field.path));
        let paths: Vec<&str> = disclosed.iter().map(|field| field.path.as_str()).collect();
        let withheld_paths: Vec<&str> = withheld.iter().map(|field| field.path.as_str()).collect();
        let made = Disclosure {
            fields: fields.as_slice().into(),
            mask: Arc::new(entry.method.mask(&paths)?),
            fields_trailer: format!("disclosed={};withheld={}", paths.join(","), withheld_paths.join(","))
                .into(),
            fields_header: paths.join(",").into(),
            disclosed: disclosed.iter().map(|field| field.path.clone()).collect(),
            withheld: withheld.iter().map(|field| field.path.clone()).collect(),
        };
        of_method.insert(fields, made.clone());
        Ok(made)
    }

    /// The shared row scopes and their header. The header is the key, since equal scopes have equal headers.
    pub(crate) fn rows(&mut self, rows: RowScopes) -> (Arc<RowScopes>, Arc<str>) {
        let header = rows.to_header();
        if let Some((header, rows)) = self.rows.get_key_value(header.as_str()) {
            return (Arc::clone(rows), Arc::clone(header));
        }
        let rows = Arc::new(rows);
        let header = Arc::<str>::from(header);
        self.rows.insert(Arc::clone(&header), Arc::clone(&rows));
        (rows, header)
    }

    /// Compiles a pattern that must match a whole text. It is shared, because a compiled pattern takes about
    /// a hundred times the memory of its text.
    pub(crate) fn pattern(&mut self, pattern: &str) -> Result<Regex, regex::Error> {
        if let Some(known) = self.patterns.get(pattern) {
            return Ok(known.clone());
        }
        let made = Regex::new(&format!("^(?:{pattern})$"))?;
        self.patterns.insert(pattern.to_owned(), made.clone());
        Ok(made)
    }

    /// A text that many grants repeat: the legal basis.
    pub(crate) fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known);
        }
        let made = Arc::<str>::from(text);
        self.texts.insert(text.to_owned(), Arc::clone(&made));
        made
    }
}
