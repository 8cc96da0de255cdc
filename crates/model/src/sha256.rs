//! A SHA-256 as settings and registries write it.

/// Reads `sha256:` and 64 lower-case hexadecimal digits; nothing for any other text.
pub fn parse_sha256(text: &str) -> Option<[u8; 32]> {
    let hex = text.strip_prefix("sha256:")?.as_bytes();
    let mut hash = [0; 32];
    let (pairs, []) = hex.as_chunks::<2>() else { return None };
    if pairs.len() != hash.len() {
        return None;
    }
    for (byte, [high, low]) in hash.iter_mut().zip(pairs) {
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Some(hash)
}

/// Writes a SHA-256 as [`parse_sha256`] reads it.
pub fn show_sha256(hash: &[u8; 32]) -> String {
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_hash_in_lower_case_is_read() {
        let hash = parse_sha256(&format!("sha256:{}", "0f".repeat(32)));
        assert_eq!(hash.as_ref().map(show_sha256), Some(format!("sha256:{}", "0f".repeat(32))));
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
