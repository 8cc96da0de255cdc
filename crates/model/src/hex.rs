//! This module writes and reads bytes as hexadecimal digits, the form of keys, hashes and serial numbers.

/// Two lower-case digits for each byte.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads exactly `2 * N` digits of either case; nothing for any other text.
pub fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    if pairs.len() != N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Some(bytes)
}

// Not `from_str_radix`, which takes a sign.
fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_read_as_they_are_written_and_nothing_else_is() {
        assert_eq!(to_hex(&[0x00, 0x5f, 0xff]), "005fff");
        assert_eq!(from_hex(&to_hex(&[0x00, 0x5f, 0xff])), Some([0x00, 0x5f, 0xff]));
        assert_eq!(from_hex("005FFF"), Some([0x00, 0x5f, 0xff]));
        for text in ["", "0", "+f", " f", "0g", "fff", "fffff", "00ff0", "é"] {
            assert_eq!(from_hex::<2>(text), None, "{text}");
        }
        assert_eq!(from_hex::<1>("+f"), None);
    }
}
