//! This target maps rows of arbitrary cells to the message of a method that has a field of every kind. A row
//! becomes a message that its type's reader takes, or is refused with a reason about the agency's data.
#![no_main]

use std::sync::LazyLock;

use chapar_adapter::RowMapper;
use chapar_contract::Contract;
use chapar_contract::wire::validate;
use chapar_model::Reason;
use libfuzzer_sys::fuzz_target;
use prost_reflect::DynamicMessage;

const PROTO: &str = r#"syntax = "proto3";
package reg.v1;
import "chapar/contract/v1/options.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
import "google/type/date.proto";
import "google/type/decimal.proto";
import "google/type/timeofday.proto";
service Register {
  rpc Get(Ask) returns (Row) { option (chapar.contract.v1.method) = { purposes: ["test"] }; }
}
message Ask { string id = 1; }
enum Kind { KIND_UNSPECIFIED = 0; KIND_ONE = 1; KIND_LOW = -1; }
message Inner { string a = 1 [(chapar.contract.v1.field).class = CLASS_PUBLIC]; optional int32 b = 2 [(chapar.contract.v1.field).class = CLASS_PUBLIC]; }
message Row {
  bool f1 = 1 [(chapar.contract.v1.field).class = CLASS_PUBLIC];
  optional int32 f2 = 2 [(chapar.contract.v1.field).class = CLASS_PUBLIC];
  sint32 f3 = 3 [(chapar.contract.v1.field).class = CLASS_PUBLIC];
  uint32 f4 = 4 [(chapar.contract.v1.field).class = CLASS_PUBLIC];
  optional int64 f5 = 5 [(chapar.contract.v1.field).class = CLASS_PUBLIC];
  sint64 f6 = 6 [(chapar.contract.v1.field).class = CLASS_PUBLIC];
  uint64 f7 = 7 [(chapar.contract.v1.field).class = CLASS_PUBLIC];
  fixed32 f8 = 8 [(chapar.contract.v1.field).class = CLASS_PUBLIC];
  sfixed64 f9 = 9 [(chapar.contract.v1.field).class = CLASS_PUBLIC];
  optional float f10 = 10 [(chapar.contract.v1.field).class = CLASS_PUBLIC];
  double f11 = 11 [(chapar.contract.v1.field).class = CLASS_PUBLIC];
  optional string f12 = 12 [(chapar.contract.v1.field).class = CLASS_PUBLIC];
  optional bytes f13 = 13 [(chapar.contract.v1.field).class = CLASS_PUBLIC];
  Kind f14 = 14 [(chapar.contract.v1.field).class = CLASS_PUBLIC];
  google.type.Date f15 = 15 [(chapar.contract.v1.field).class = CLASS_PUBLIC];
  google.type.TimeOfDay f16 = 16 [(chapar.contract.v1.field).class = CLASS_PUBLIC];
  google.type.Decimal f17 = 17 [(chapar.contract.v1.field).class = CLASS_PUBLIC];
  google.protobuf.Timestamp f18 = 18 [(chapar.contract.v1.field).class = CLASS_PUBLIC];
  google.protobuf.Duration f19 = 19 [(chapar.contract.v1.field).class = CLASS_PUBLIC];
  google.protobuf.StringValue f20 = 20 [(chapar.contract.v1.field).class = CLASS_PUBLIC];
  repeated string f21 = 21 [(chapar.contract.v1.field).class = CLASS_PUBLIC];
  map<string, int64> f22 = 22 [(chapar.contract.v1.field).class = CLASS_PUBLIC];
  Inner f23 = 23;
  repeated Inner f24 = 24;
}
"#;

static MAPPER: LazyLock<RowMapper> = LazyLock::new(|| {
    let folder = chapar_fuzz::folder("rows").join("reg");
    std::fs::create_dir_all(folder.join("v1")).expect("a folder");
    std::fs::write(folder.join("v1/reg.proto"), PROTO).expect("a contract");
    let contract = Contract::load(&folder).expect("the contract compiles");
    let method = contract.method(&"reg.v1.Register/Get".parse().expect("a method")).expect("it is there");
    RowMapper::new(method).expect("each field can be filled")
});

fuzz_target!(|data: &[u8]| {
    match MAPPER.map(data) {
        Ok(row) => {
            assert_eq!(validate(&row, MAPPER.message()), Ok(()), "a row that does not fit its type");
            DynamicMessage::decode(MAPPER.message().clone(), row).expect("a reader takes it");
        }
        Err(reason) => assert!(
            matches!(reason, Reason::ValueUnreadable | Reason::NullInRequired | Reason::MessageTooLarge),
            "{reason}"
        ),
    }
});
