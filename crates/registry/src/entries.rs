//! This module reads a registry's files as entries of keys and values, as written, to compare two versions
//! (diff). It picks no key by name, so that every key counts. The meaning is in `load`.

use std::collections::BTreeMap;
use std::path::Path;

use crate::finding::{Findings, LoadErrors};
use crate::folder;

/// The name of an entry: the owner of its file, the table, and the id in that table.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Key {
    /// The member, e.g. `gov/welfare`; `bus` for the files of the operator.
    pub(crate) owner: String,
    /// The table's name, e.g. `grant`.
    pub(crate) kind: String,
    pub(crate) id: String,
}

/// Key → value, both as TOML writes them.
pub(crate) type Values = BTreeMap<String, String>;

/// Reads all entries of a folder. Files that cannot be read give the same errors as a load.
pub(crate) fn read(dir: &Path) -> Result<BTreeMap<Key, Values>, LoadErrors> {
    let mut findings = Findings::default();
    let sources = folder::read(dir, &mut findings);
    if !findings.is_empty() {
        return Err(findings.into_errors());
    }
    let mut entries = BTreeMap::new();
    for source in sources {
        // A syntax error is not reported here, because `Plan::between` has loaded both registries before.
        let Ok(tables) = source.text().parse::<toml::Table>() else { continue };
        let path = source.path.strip_suffix(".toml").unwrap_or_default();
        let procedure = path.strip_prefix("procedures/");
        // `bus.toml`, `suspensions.toml` and the procedures are the operator's; other files in folders are
        // members'.
        let owner = match path {
            member if member.contains('/') && procedure.is_none() => member.to_owned(),
            _ => "bus".to_owned(),
        };
        for (kind, value) in tables {
            // `[member]` is one table and `[[grant]]` an array of tables; both are read as a list.
            let of_kind = match value {
                toml::Value::Array(items) => items,
                one => vec![one],
            };
            for (place, item) in of_kind.iter().filter_map(toml::Value::as_table).enumerate() {
                let mut key =
                    Key { owner: owner.clone(), kind: kind.clone(), id: id(&owner, procedure, &kind, item) };
                // Two entries may have the same name, e.g. tests of one call. A number keeps them apart.
                for again in 2.. {
                    if !entries.contains_key(&key) {
                        break;
                    }
                    key.id = format!("{} ({again})", id(&owner, procedure, &kind, item));
                }
                let mut values: Values =
                    item.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
                // Parts are asked and answered by their places, so another order is another procedure.
                if kind == "part" {
                    values.insert("place".to_owned(), (place + 1).to_string());
                }
                entries.insert(key, values);
            }
        }
    }
    Ok(entries)
}

/// `procedure`: the procedure in whose file the entry is.
fn id(owner: &str, procedure: Option<&str>, kind: &str, item: &toml::Table) -> String {
    let text = |name: &str| item.get(name).and_then(toml::Value::as_str).unwrap_or_default();
    match (kind, procedure) {
        ("procedure", Some(procedure)) => return procedure.to_owned(),
        (_, Some(procedure)) => return format!("{procedure}/{}", text("id")),
        (_, None) => {}
    }
    match kind {
        "member" => owner.to_owned(),
        "subsystem" => format!("{owner}/{}", text("id")),
        "service" => text("contract").to_owned(),
        "suspension" => text("of").to_owned(),
        "test" => format!("{} calling {}", text("as"), text("call")),
        "approval" => item.get("of").map(ToString::to_string).unwrap_or_default(),
        "bus" => "bus".to_owned(),
        _ => text("id").to_owned(),
    }
}
