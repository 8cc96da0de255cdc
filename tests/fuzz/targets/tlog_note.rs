//! This target parses signed notes, note keys and checkpoints: what parses prints back the same bytes, and a
//! note with one signature line has one form.
#![no_main]

use chapar_fuzz::{Input, edited, signing_key};
use chapar_tlog::{Checkpoint, SigningKey, VerifierKey, open_note, sign_note};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let key = signing_key();
    let mut input = Input(data);
    let how = input.byte() % 3;
    let edit = input.take(8);
    let Ok(text) = std::str::from_utf8(input.rest()) else { return };
    let note = match how {
        0 => text.to_owned(),
        1 => {
            let note = sign_note(text, &key);
            let signed = if text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") };
            assert_eq!(open_note(&note, key.verifier()), Ok(signed.as_str()), "what is signed opens");
            note
        }
        _ => match String::from_utf8(edited(sign_note(text, &key).as_bytes(), &mut Input(edit))) {
            Ok(note) => note,
            Err(_) => return,
        },
    };
    if let Ok(opened) = open_note(&note, key.verifier()) {
        let lines = note[opened.len() + 1..].matches('\n').count();
        if lines == 1 {
            assert_eq!(sign_note(opened, &key), note, "a note with one signature has one form");
        }
    }
    if let Ok(checkpoint) = text.parse::<Checkpoint>() {
        assert!(text.starts_with(&checkpoint.to_string()), "extension lines follow a checkpoint's own form");
        assert_eq!(checkpoint.to_string().parse(), Ok(checkpoint));
    }
    if let Ok(key) = text.parse::<VerifierKey>() {
        assert_eq!(key.to_string().parse(), Ok(key));
    }
    if let Ok(key) = text.parse::<SigningKey>() {
        assert_eq!(
            key.to_secret_text().parse::<SigningKey>().expect("its own text").verifier(),
            key.verifier()
        );
    }
});
