//! Step 6: the receipt of the first answer, verified with the log's public key alone; and a receipt with one bit changed.

use chapar_evidence::verify;
use serde_json::json;

use super::caller::Answer;
use super::{Outcome, Told};
use crate::demo::bus::Bus;

pub(super) async fn step(bus: &Bus, answers: Option<&[Answer]>) -> Outcome {
    let first = answers.and_then(|answers| answers.first()).ok_or("there was no first answer")?;
    let index = first.entry.rsplit_once('/').and_then(|(_, index)| index.parse().ok());
    let index: u64 = index.ok_or("the answer named no entry")?;
    let receipt = bus.log.receipt(index).await.map_err(|error| format!("no receipt: {error}"))?.to_bytes();
    let path = bus.dir.join("receipt.txt");
    std::fs::write(&path, &receipt).map_err(|error| format!("{}: {error}", path.display()))?;
    let key = std::fs::read_to_string(bus.dir.join("evidence.pub")).map_err(|error| error.to_string())?;
    let trust = key.trim().parse().map_err(|error| format!("evidence.pub: {error}"))?;
    let verified =
        verify::receipt(&receipt, &trust).map_err(|invalid| format!("the receipt does not verify: {invalid}"))?;
    let mut changed = receipt.to_vec();
    // The middle is in the record or the proof, past the file's first line.
    let middle = changed.len() / 2;
    let Some(byte) = changed.get_mut(middle) else { return Err("the receipt is empty".to_owned()) };
    *byte ^= 1;
    let Err(invalid) = verify::receipt(&changed, &trust) else {
        return Err(format!("a receipt whose byte {middle} differs in one bit verifies"));
    };
    let sentence = verified.sentence();
    Ok(Told {
        outcome: format!("entry {index} verifies offline; with one bit changed it does not"),
        lines: vec![format!("VALID    {sentence}"), format!("INVALID  {invalid}")],
        detail: json!({
            "entry": first.entry, "receipt": "receipt.txt", "sentence": sentence, "changed_bit": invalid.to_string(),
        }),
    })
}
