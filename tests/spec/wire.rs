//! Tests a few of the cases that `--bin wire` runs by the million: minimisation is compared with
//! decode–clear–encode on generated types.

use chapar_tests::wire;

#[test]
fn minimisation_keeps_what_decoding_clearing_and_encoding_keeps_for_any_type_mask_and_message() {
    let [kept, refused] = wire::cases(0, 20_000);
    assert_eq!((kept, refused), (20_000, 0));
}

#[test]
fn broken_bytes_are_an_answer_and_what_is_kept_of_them_fits_its_type() {
    let [kept, refused] = wire::broken(0, 20_000);
    assert!(kept > 1_000 && refused > 1_000, "both happen: {kept} kept, {refused} refused");
}
