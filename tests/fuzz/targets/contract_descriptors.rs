//! This target reads arbitrary bytes as a `FileDescriptorSet`, as server reflection gives one. The result is
//! a contract or findings. A contract reads the same from its own bytes.
#![no_main]

use bytes::Bytes;
use chapar_contract::Contract;
use chapar_fuzz::allow_caught_panics;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // `Contract` catches panics of the descriptor library (decision 0003).
    allow_caught_panics();
    if let Ok(contract) = Contract::from_descriptor_set(Bytes::copy_from_slice(data)) {
        let again =
            Contract::from_descriptor_set(contract.descriptor_bytes().clone()).expect("the same bytes");
        assert_eq!(again.digest(), contract.digest());
    }
});
