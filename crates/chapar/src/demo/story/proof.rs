//! Step 6 verifies the receipt of the first answer with the log's public key alone, and shows that a receipt
//! with one bit changed does not verify.

use chapar_evidence::verify;
use serde_json::json;

use super::caller::Answer;
use super::{Outcome, StepReport, first_entry};
use crate::demo::bus::Bus;

pub(super) async fn step(bus: &Bus, answers: Option<&[Answer]>) -> Outcome {
    let (first, index) = first_entry(answers)?;
    let receipt = bus.log.receipt(index).await.map_err(|error| format!("no receipt: {error}"))?.to_bytes();
    let path = bus.dir.join("receipt.txt");
    std::fs::write(&path, &receipt).map_err(|error| format!("{}: {error}", path.display()))?;
    let key = std::fs::read_to_string(bus.dir.join("evidence.pub")).map_err(|error| error.to_string())?;
    let trust = key.trim().parse().map_err(|error| format!("evidence.pub: {error}"))?;
    let verified = verify::receipt(&receipt, &trust)
        .map_err(|invalid| format!("the receipt does not verify: {invalid}"))?;
    let (changed, place) = flip_a_bit(&receipt).ok_or("the receipt is empty")?;
    let Err(invalid) = verify::receipt(&changed, &trust) else {
        return Err(format!("a receipt whose byte {place} differs in one bit verifies"));
    };
    let sentence = verified.sentence();
    Ok(StepReport {
        outcome: format!("entry {index} verifies offline; with one bit changed it does not"),
        lines: vec![sentence.to_owned(), format!("with one bit of byte {place} changed: {invalid}")],
        detail: json!({
            "entry": first.entry, "receipt": "receipt.txt", "sentence": sentence, "changed_bit": invalid.to_string(),
        }),
    })
}

/// The file with one bit changed such that it is still a file of its form: in the record, a letter or digit
/// becomes its neighbour, which no reader of base64 can complain about.
fn flip_a_bit(receipt: &[u8]) -> Option<(Vec<u8>, usize)> {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() && (byte ^ 1).is_ascii_alphanumeric();
    let record = receipt.windows(6).position(|word| word == b"extra ")? + 6;
    // Some way into the record, past the fields of its first bytes.
    let place = record + 60 + receipt.get(record + 60..)?.iter().position(fits)?;
    let mut changed = receipt.to_vec();
    *changed.get_mut(place)? ^= 1;
    Some((changed, place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_bit_of_the_record_is_changed() {
        let receipt = format!("c2sp.org/tlog-proof@v1\nextra {}\nindex 2\n", "Zz09".repeat(40)).into_bytes();
        let (changed, place) = flip_a_bit(&receipt).unwrap();
        let bits: u32 = receipt.iter().zip(&changed).map(|(a, b)| (a ^ b).count_ones()).sum();
        assert_eq!(bits, 1);
        assert!(changed[place].is_ascii_alphanumeric() && place > 60);
    }
}
