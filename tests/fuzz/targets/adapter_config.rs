//! This target reads arbitrary text as `adapter.toml`. The result is settings, or findings with a place in
//! the file that can be shown.
#![no_main]

use std::path::Path;

use chapar_adapter::{Config, ConnectMode};
use chapar_fuzz::{assert_inside, assert_renders};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // The file named by `trust` is read, to count its CAs. A device or a pipe there would never end.
    if ["/dev", "/proc", "/sys", "..", "\\u", "\\U", "\\x"].iter().any(|path| text.contains(path)) {
        return;
    }
    match Config::parse(Path::new("/nonexistent/adapter.toml"), text) {
        Ok(config) => {
            assert!(!config.gateways.is_empty(), "someone may call");
            assert_eq!(config.contracts.len(), config.sources.len(), "one source for each contract");
            assert!(config.sources.values().all(|source| (1..=256).contains(&source.limits.max_connections)));
            if let ConnectMode::Dial { gateways, connections } = config.mode {
                assert!(!gateways.is_empty() && (1..=16).contains(&connections));
            }
        }
        Err(findings) => {
            assert!(findings.iter().next().is_some(), "an error without a finding");
            for finding in findings.iter() {
                assert_inside(text, finding.position(), 1);
            }
            assert_renders(&findings);
        }
    }
});
