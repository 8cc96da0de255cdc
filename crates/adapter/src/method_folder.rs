//! `candidates` reads the method files of a contract folder: one for each method, and none besides.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chapar_contract::Contract;

use crate::backend::Opened;
use crate::candidate::Candidate;
use crate::finding::{Finding, did_you_mean};
use crate::page::PageTokens;

/// Extensions of the files of methods.
const EXTENSIONS: [&str; 2] = ["sql", "http"];

/// Reads the file of every method of the contract in `folder`. `longest`: what the source may take for a
/// call.
pub(crate) fn candidates(
    folder: &Path,
    contract: &Contract,
    source: &Opened,
    longest: Duration,
    tokens: &Arc<PageTokens>,
    findings: &mut Vec<Finding>,
) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    for service in contract.services() {
        let files = method_folder(folder, service.name());
        for method in service.methods() {
            let file = files.join(format!("{}.{}", method.path().method(), source.extension()));
            match source.backend(method, &file) {
                Ok(backend) => candidates.push(Candidate::new(method, backend, longest, tokens)),
                Err(finding) => findings.push(finding),
            }
        }
        let known: Vec<&str> = service.methods().iter().map(|method| method.path().method()).collect();
        // A file that belongs to no method is reported, because the method it was meant for may have another
        // one.
        findings.extend(strays(&files, service.name(), source.extension(), &known));
    }
    candidates
}

/// `civil/v1/CivilRegistry` beside the `.proto` of `civil.v1.CivilRegistry`, from the folder's parent or, if
/// the folder does not repeat the package, from the folder itself.
fn method_folder(folder: &Path, service: &str) -> PathBuf {
    let (package, name) = service.rsplit_once('.').unwrap_or(("", service));
    let packaged: PathBuf = package.split('.').chain([name]).collect();
    let root = folder.parent().unwrap_or(Path::new(""));
    let candidates = [root.join(&packaged), folder.join(&packaged), folder.join(name)];
    // If there is no folder at all, the findings name the first candidate.
    let [first, ..] = &candidates;
    candidates.iter().find(|candidate| candidate.is_dir()).unwrap_or(first).clone()
}

/// Findings for method files that belong to no method, most likely because of a misspelt name, or that the
/// source cannot use.
fn strays(folder: &Path, service: &str, extension: &str, known: &[&str]) -> Vec<Finding> {
    // A folder that is missing is reported by its methods, each of which then lacks a file.
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    let mut findings = Vec::new();
    for file in &files {
        let Some(own) = file.extension().and_then(|own| own.to_str()).filter(|own| EXTENSIONS.contains(own))
        else {
            continue;
        };
        if own != extension {
            let text = format!("this contract's source takes `.{extension}` files, and no `.{own}`");
            findings.push(Finding::of_file(file, text));
            continue;
        }
        let name = file.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        if !known.contains(&name) {
            let finding = Finding::of_file(file, format!("{service} has no method `{name}`"));
            findings.push(match did_you_mean(name, known.iter().copied()) {
                Some(help) => finding.with_help(help),
                None => finding,
            });
        }
    }
    findings
}
