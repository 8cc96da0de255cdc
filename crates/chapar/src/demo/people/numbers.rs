//! This module makes numbers that must be valid and unique: national ids, IBANs and mobile numbers. Each is a
//! permutation of the person's index, so no set of used numbers is kept. Any resemblance to a real person's
//! number is happens.

use super::MAX_PEOPLE;

/// Places of issue used for ids. All are of six serial digits, so each gives 999,999 numbers (serial 000000
/// is refused).
const PLACES: [u32; 20] =
    [406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418, 419, 420, 421, 422, 423, 424, 425];
/// Serials per place.
const SERIALS: u64 = 999_999;
/// Size of the space that is permuted. `MAX_PEOPLE` people fit many times.
const SPACE: u64 = PLACES.len() as u64 * SERIALS;
/// Shares no factor with `SPACE` = 2² · 3³ · 5 · 7 · 11 · 13 · 37, so that multiplying by it permutes.
const STEP: u64 = 7_368_787;

const _: () = assert!((MAX_PEOPLE as u64) < SPACE);

/// The national id of the person at `ordinal`: ten digits, the last one the check digit.
pub(crate) fn national_id(seed: u64, ordinal: u32) -> String {
    let place = (u64::from(ordinal) * STEP + seed % SPACE) % SPACE;
    let nine = u64::from(PLACES[(place / SERIALS) as usize]) * 1_000_000 + place % SERIALS + 1;
    let sum: u64 =
        (0..9).map(|position| nine / 10_u64.pow(8 - position) % 10 * u64::from(10 - position)).sum();
    let check = match sum % 11 {
        rest @ (0 | 1) => rest,
        rest => 11 - rest,
    };
    format!("{nine:09}{check}")
}

/// The IBAN of the person at `ordinal` at the agricultural bank (bank code 016): `IR` and 24 digits, ISO 7064
/// mod 97-10.
pub(crate) fn iban(seed: u64, ordinal: u32) -> String {
    const NUMBERS: u64 = 1_000_000_000_000;
    let number = (u64::from(ordinal) * 618_033_988_747 + seed) % NUMBERS;
    let account = format!("0160000000{number:012}");
    // `182700` is `IR00` in digits (I = 18, R = 27), which ISO 13616 moves to the end.
    let rest =
        account.bytes().chain(*b"182700").fold(0, |rest, digit| (rest * 10 + u32::from(digit - b'0')) % 97);
    format!("IR{:02}{account}", 98 - rest)
}

/// A mobile number of the person at `ordinal`, `+98` and ten digits.
pub(crate) fn mobile(ordinal: u32) -> String {
    format!("+98916{:07}", (u64::from(ordinal) * 7_654_321 + 1_234_567) % 10_000_000)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use std::collections::HashSet;

    use chapar_contract::Format;

    use super::*;

    #[test]
    fn a_million_national_ids_are_valid_and_different() {
        let mut seen = HashSet::new();
        for ordinal in 0..1_000_000 {
            let id = national_id(1405, ordinal);
            assert!(seen.insert(id.parse::<u64>().unwrap()), "{id} twice");
            assert!(ordinal % 97 != 0 || Format::IrNationalId.check(&id), "{id}");
        }
    }

    #[test]
    fn a_million_ibans_are_different_and_valid() {
        let mut seen = HashSet::new();
        for ordinal in 0..1_000_000 {
            let iban = iban(1405, ordinal);
            assert!(ordinal % 97 != 0 || Format::IrIban.check(&iban), "{iban}");
            assert!(seen.insert(iban[14..].parse::<u64>().unwrap()), "twice");
        }
    }

    #[test]
    fn mobile_numbers_are_valid() {
        assert!((0..1000).all(|ordinal| Format::IrMobile.check(&mobile(ordinal))));
    }
}
