//! This target reads arbitrary text as an `.http` file. It is accepted, or the finding has a place in the
//! file and can be shown. Whatever a caller sends, an accepted request keeps its parts: path, query and body
//! have as many as with another value, and each value is read back as it was sent.
#![no_main]

use chapar_adapter::compile_request;
use chapar_fuzz::{assert_inside, assert_renders};
use libfuzzer_sys::fuzz_target;

/// The signs that part a target.
const PARTS: [char; 5] = ['/', '?', '&', '=', '#'];

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // The last line is what the caller sends.
    let (file, value) = text.rsplit_once('\n').unwrap_or((text, ""));
    let request = match compile_request(file) {
        Ok(request) => request,
        Err(findings) => {
            for finding in findings.iter() {
                assert_inside(file, finding.position(), 1);
            }
            assert_renders(&findings);
            return;
        }
    };
    let write = |value: &str| request.target(&vec![value; request.parameters()]);
    let parts = |target: &str| target.matches(PARTS).map(str::to_owned).collect::<Vec<_>>();
    let plain = write("x").expect("a letter is a part of any path");
    if let Some(target) = write(value) {
        assert_eq!(parts(&target), parts(&plain), "{target}");
        assert!(target.is_ascii() && !target.contains([' ', '\r', '\n']), "{target:?}");
        for segment in target.split('?').next().unwrap_or_default().split('/').skip(1) {
            assert!(!matches!(segment, "." | ".."), "{target}");
        }
    }
    if let Some(body) = request.body(&vec![value; request.parameters()]) {
        let plain = request.body(&vec!["x"; request.parameters()]).expect("the same body");
        assert_eq!(shape(&body), shape(&plain), "{body}");
    }
});

/// A body without its texts.
fn shape(json: &serde_json::Value) -> String {
    match json {
        serde_json::Value::String(_) => "text".to_owned(),
        serde_json::Value::Array(list) => format!("{:?}", list.iter().map(shape).collect::<Vec<_>>()),
        serde_json::Value::Object(members) => {
            format!("{:?}", members.iter().map(|(name, value)| (name, shape(value))).collect::<Vec<_>>())
        }
        other => other.to_string(),
    }
}
