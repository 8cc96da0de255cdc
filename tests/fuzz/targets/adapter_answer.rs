//! This target reads the JSON of an API's answer by a pointer. What is found is what a reader of whole values
//! finds at the same place (`serde_json::Value::pointer`, RFC 6901), unless the answer is ambiguous.
#![no_main]

use chapar_adapter::find_in_json;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some((pointer, json)) = text.split_once('\n') else { return };
    let Ok(found) = find_in_json(pointer, json) else { return };
    // The other reader bounds its recursion, and refuses numbers beyond floating point.
    let Ok(whole) = serde_json::from_str::<Value>(json) else { return };
    let found = found.map(|found| serde_json::from_str::<Value>(found).expect("a part of JSON is JSON"));
    assert_eq!(found.as_ref(), whole.pointer(pointer), "{pointer} in {json}");
});
