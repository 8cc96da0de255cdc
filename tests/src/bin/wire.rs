//! `wire cases N` and `wire broken N` compare minimisation with the reference on N generated cases, over all
//! cores. `wire bench` compares its speed with decode–clear–encode. See `tests/README.md`.

#![allow(clippy::print_stdout, clippy::expect_used, reason = "a command of the tests")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chapar_contract::Contract;
use chapar_contract::wire::FieldMask;
use chapar_tests::wire;
use prost_reflect::prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor};

/// Cases between two lines of progress.
const STEP: u64 = 100_000;

fn main() {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let number = args.next().and_then(|text| text.replace('_', "").parse::<u64>().ok());
    match (command.as_str(), number) {
        ("cases", Some(count)) => spread(count, "cases", wire::cases),
        ("broken", Some(count)) => spread(count, "broken cases", wire::broken),
        ("bench", None) => bench(),
        _ => {
            println!("usage: wire cases N | wire broken N | wire bench");
            std::process::exit(2);
        }
    }
}

fn spread(count: u64, what: &str, run: fn(u64, u64) -> [u64; 2]) {
    let started = now();
    let next = std::sync::atomic::AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        let mut sum = [0, 0];
        loop {
            let first = next.fetch_add(STEP, std::sync::atomic::Ordering::Relaxed);
            if first >= count {
                return sum;
            }
            let [kept, refused] = run(first, STEP.min(count - first));
            sum = [sum[0] + kept, sum[1] + refused];
        }
    };
    let sums: Vec<[u64; 2]> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        // A case that fails ends its thread, and the command with it.
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| std::process::exit(1))).collect()
    });
    let [kept, refused] = sums.iter().fold([0, 0], |sum, one| [sum[0] + one[0], sum[1] + one[1]]);
    println!(
        "{} {what}: {kept} kept, {refused} refused, no difference, in {:.0?}",
        kept + refused,
        started.elapsed()
    );
}

/// One message with its type and what is granted of it.
struct Sample {
    name: &'static str,
    message: MessageDescriptor,
    bytes: Bytes,
    granted: Vec<&'static str>,
}

fn bench() {
    println!("| message | bytes | keep | | decode–clear–encode | | |\n|---|---|---|---|---|---|---|");
    for sample in samples() {
        let mask = FieldMask::new(&sample.message, &sample.granted).expect("fields of the type");
        let expected = wire::decode_clear_encode(&sample.message, &sample.bytes, &sample.granted);
        let kept = mask.keep(&sample.bytes).expect("a valid message");
        let read =
            |bytes: &[u8]| DynamicMessage::decode(sample.message.clone(), bytes).expect("a valid message");
        assert!(read(&kept) == read(&expected), "both keep the same");
        let ours = median(|| drop(black_box(mask.keep(black_box(&sample.bytes)))));
        let other = median(|| {
            drop(black_box(wire::decode_clear_encode(
                &sample.message,
                black_box(&sample.bytes),
                &sample.granted,
            )))
        });
        let speed = |time: f64| sample.bytes.len() as f64 / time;
        println!(
            "| {} | {} | {ours:.0} ns | {:.2} GB/s | {other:.0} ns | {:.3} GB/s | {:.0} × |",
            sample.name,
            sample.bytes.len(),
            speed(ours),
            speed(other),
            other / ours,
        );
    }
}

/// Nanoseconds of one run: the median of 30 rounds of 20 ms.
fn median(mut run: impl FnMut()) -> f64 {
    let mut rounds: Vec<f64> = (0..30)
        .map(|_| {
            let started = now();
            let mut runs = 0_u32;
            while started.elapsed() < Duration::from_millis(20) {
                (0..16).for_each(|_| run());
                runs += 16;
            }
            started.elapsed().as_nanos() as f64 / f64::from(runs)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}

fn samples() -> Vec<Sample> {
    let proto = chapar_tests::repository().join("proto");
    let contract = |name: &str| Contract::load(&proto.join(name)).expect("a reference contract");
    let civil = contract("civil");
    let person = civil.pool().get_message_by_name("civil.v1.Person").expect("the type");
    let education = contract("education");
    let degrees = education.pool().get_message_by_name("education.v1.ListDegreesResponse").expect("the type");
    let record = r#"{"nationalId": "0013542419", "givenName": "زهرا", "familyName": "کریمی", "birthDate": {"year": 1982, "month": 5, "day": 3},
        "sex": "SEX_FEMALE", "lifeStatus": "LIFE_STATUS_ALIVE", "fatherName": "محمد", "maritalStatus": "MARITAL_STATUS_MARRIED",
        "province": "15", "county": "1501"}"#;
    let field = degrees.fields().find(|field| field.is_list()).expect("a list");
    let prost_reflect::Kind::Message(degree) = field.kind() else { panic!("of messages") };
    let texts: Vec<String> = degree
        .fields()
        .filter(|field| field.kind() == prost_reflect::Kind::String)
        .map(|field| format!("\"{}\": \"کارشناسی مهندسی عمران\"", field.json_name()))
        .collect();
    let one = format!("{{{}}}", texts.join(", "));
    let many = format!("{{\"{}\": [{}]}}", field.json_name(), vec![one; 1000].join(", "));
    let first = degree.fields().find(|field| field.kind() == prost_reflect::Kind::String).expect("a text");
    let path: &'static str = format!("{}.{}", field.name(), first.name()).leak();
    let encode = |message: &MessageDescriptor, json: &str| {
        let mut json = serde_json::Deserializer::from_str(json);
        Bytes::from(
            DynamicMessage::deserialize(message.clone(), &mut json)
                .expect("JSON of the type")
                .encode_to_vec(),
        )
    };
    let whole: Vec<&'static str> = person.fields().map(|field| &*field.name().to_owned().leak()).collect();
    vec![
        Sample {
            name: "a person, 4 of 10 fields",
            bytes: encode(&person, record),
            message: person.clone(),
            granted: vec!["national_id", "given_name", "family_name", "birth_date"],
        },
        Sample {
            name: "a person, all fields",
            bytes: encode(&person, record),
            message: person,
            granted: whole,
        },
        Sample {
            name: "a list of 1,000, one text of each",
            bytes: encode(&degrees, &many),
            message: degrees,
            granted: vec![path],
        },
    ]
}

fn now() -> Instant {
    Instant::now()
}
