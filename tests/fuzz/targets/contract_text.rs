//! This target checks formats of identifiers and Persian text folding: folding is idempotent, and a value
//! that is accepted stays accepted, and the same, in its canonical form.
#![no_main]

use chapar_contract::text::{ascii_digits, clean_id, fold};
use chapar_contract::{Format, JALALI_YEARS, gregorian_of_jalali};
use chapar_fuzz::Input;
use libfuzzer_sys::fuzz_target;

const FORMATS: [Format; 6] = [
    Format::IrNationalId,
    Format::IrLegalId,
    Format::IrPostalCode,
    Format::IrIban,
    Format::IrMobile,
    Format::JalaliDate,
];

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    // Around the years that are read as Jalali ones.
    let year = 1190 + input.number() as i32 % 420;
    let month = input.byte() as u8;
    let day = input.byte() as u8;
    if let Some(gregorian) = gregorian_of_jalali(year, month, day) {
        assert!(JALALI_YEARS.contains(&year));
        assert!(gregorian.parse::<jiff::civil::Date>().is_ok(), "{gregorian} is a day");
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    for once in [fold, ascii_digits, clean_id] {
        assert_eq!(once(&once(text)), once(text), "folding twice is folding once");
    }
    for format in FORMATS {
        let canonical = format.normalise(text);
        assert_eq!(format.normalise(&canonical), canonical, "normalising {text:?} as {format}");
        assert_eq!(format.check(&canonical), format.check(text), "checking {text:?} as {format}");
        if !format.check(text) {
            continue;
        }
        assert!(canonical.is_ascii(), "{canonical:?} is {format}");
        if let Some(national) = format.national(text) {
            assert_eq!(
                format.normalise(&national),
                canonical,
                "the form inside the country is the same value"
            );
        }
        if format == Format::JalaliDate {
            let numbers: Vec<i32> = canonical.split('/').flat_map(str::parse).collect();
            let [year, month, day] = numbers[..] else { panic!("{canonical:?} has three numbers") };
            let gregorian = gregorian_of_jalali(year, month as u8, day as u8);
            assert!(gregorian.is_some(), "{canonical:?} is a Jalali day");
        }
    }
});
