//! This target reads arbitrary text as the JSON of a request. What is taken is one message: read again it is
//! the same bytes, and its JSON says the same message. What is refused names no value.
#![no_main]

use std::sync::LazyLock;

use chapar_contract::Contract;
use chapar_contract::json::{from_json, to_json};
use libfuzzer_sys::fuzz_target;
use prost_reflect::MessageDescriptor;

const PROTO: &str = r#"syntax = "proto3";
package reg.v1;
import "chapar/contract/v1/options.proto";
import "google/protobuf/any.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
import "google/type/date.proto";
service Register {
  rpc Get(Ask) returns (Row) { option (chapar.contract.v1.method) = { purposes: ["test"] }; }
}
message Row { string id = 1 [(chapar.contract.v1.field).class = CLASS_PUBLIC]; }
message Ask {
  string national_id = 1; int64 count = 2; double share = 3; float part = 4; bool alive = 5; bytes photo = 6;
  repeated Ask more = 7; map<string, Ask> by_name = 8; map<int32, string> by_number = 9;
  optional uint64 big = 10; Kind kind = 11; google.type.Date day = 12; google.protobuf.Timestamp at = 13;
  google.protobuf.Duration length = 14; google.protobuf.StringValue text = 15; google.protobuf.Struct free = 16;
  google.protobuf.Any any = 17; oneof one { string left = 18; int32 right = 19; }
}
enum Kind { KIND_UNSPECIFIED = 0; KIND_A = 1; }
"#;

static ASK: LazyLock<MessageDescriptor> = LazyLock::new(|| {
    let folder = chapar_fuzz::folder("contract_json");
    std::fs::create_dir_all(folder.join("reg/v1")).expect("a folder");
    std::fs::write(folder.join("reg/v1/reg.proto"), PROTO).expect("a file");
    let contract = Contract::load(&folder.join("reg")).expect("a contract");
    contract.services().next().expect("a service").methods()[0].input().clone()
});

fuzz_target!(|data: &[u8]| {
    let bytes = match from_json(&ASK, data) {
        Ok(bytes) => bytes,
        Err(error) => {
            // A path is names of fields, places in lists, and `?`.
            assert!(error.path.chars().all(|c| c.is_ascii_alphanumeric() || "._[]?".contains(c)), "{error}");
            return;
        }
    };
    assert_eq!(from_json(&ASK, data).expect("the same text"), bytes, "one text, two messages");
    let json = to_json(&ASK, &bytes).expect("what JSON has said");
    assert_eq!(from_json(&ASK, &json).expect("its own JSON"), bytes, "{}", String::from_utf8_lossy(&json));
});
