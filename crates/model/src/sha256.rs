//! This module parses and writes a SHA-256 digest in the form that settings and registries use.

use crate::{from_hex, to_hex};

/// Reads `sha256:` and 64 lower-case hexadecimal digits; nothing for any other text.
pub fn parse_sha256(text: &str) -> Option<[u8; 32]> {
    let hex = text.strip_prefix("sha256:")?;
    // One form, so that two texts are the same hash exactly if they are the same text.
    from_hex(hex).filter(|_| !hex.bytes().any(|digit| digit.is_ascii_uppercase()))
}

/// Writes a SHA-256 as [`parse_sha256`] reads it.
pub fn show_sha256(hash: &[u8]) -> String {
    format!("sha256:{}", to_hex(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_hash_in_lower_case_is_read() {
        let hash = parse_sha256(&format!("sha256:{}", "0f".repeat(32)));
        assert_eq!(hash.as_ref().map(|hash| show_sha256(hash)), Some(format!("sha256:{}", "0f".repeat(32))));
        assert_eq!(hash, Some([0x0f; 32]));
        for text in [
            "",
            "sha256:",
            "sha256:0f",
            &"0f".repeat(32),
            &format!("sha256:{}", "0F".repeat(32)),
            &format!("sha256:{}0", "0f".repeat(32)),
        ] {
            assert_eq!(parse_sha256(text), None, "{text}");
        }
    }
}
