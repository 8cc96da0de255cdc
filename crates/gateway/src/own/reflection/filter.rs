//! This module removes methods from a `FileDescriptorProto` without decoding the rest, so that custom options
//! are kept byte for byte. Paths of comments (`SourceCodeInfo`) are rewritten to the new indexes.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message as _;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, encode_varint, skip_field};
use prost_types::SourceCodeInfo;

/// `FileDescriptorProto.package`, `.service`, `.source_code_info`; `ServiceDescriptorProto.name`, `.method`;
/// `MethodDescriptorProto.name`.
const PACKAGE: u32 = 2;
const SERVICE: u32 = 6;
const SOURCE_CODE_INFO: u32 = 9;
const NAME: u32 = 1;
const METHOD: u32 = 2;

/// The file with only those methods for which `keep(full service name, method name)` holds; a service left
/// with none goes too. Nothing if the bytes are not a file.
pub(super) fn keep_methods(file: &Bytes, keep: impl Fn(&str, &str) -> bool) -> Option<Bytes> {
    let package = fields(file)?
        .into_iter()
        .find(|field| field.number == PACKAGE)
        .and_then(|field| field.text())
        .unwrap_or_default();
    let mut out = BytesMut::with_capacity(file.len());
    let mut comments = Vec::new();
    let mut moves = Vec::new();
    // Fields are copied in their order and only `service` is rewritten, so that a file that loses nothing
    // stays the same byte for byte.
    for field in fields(file)? {
        match field.number {
            SERVICE => {
                let (service, methods) = cut_service(&field.payload()?, &package, &keep)?;
                let place =
                    // A place counts the services that are kept so far, because `SourceCodeInfo` names
                    // services by their index in the new file.
                    moves.iter().filter(|kept: &&Vec<Option<i32>>| kept.iter().any(Option::is_some)).count();
                if methods.iter().any(Option::is_some) {
                    put(&mut out, SERVICE, &service);
                }
                comments.push(i32::try_from(place).ok()?);
                moves.push(methods);
            }
            SOURCE_CODE_INFO => {
                let mut info = SourceCodeInfo::decode(field.payload()?).ok()?;
                // Comments of removed methods go too: their text would tell a caller what it may not see.
                info.location.retain_mut(|location| move_path(&mut location.path, &comments, &moves));
                put(&mut out, SOURCE_CODE_INFO, &info.encode_to_vec());
            }
            _ => out.extend_from_slice(&field.whole),
        }
    }
    Some(out.freeze())
}

/// The service without the methods that go, and for each method its new place.
fn cut_service(
    service: &Bytes,
    package: &str,
    keep: &impl Fn(&str, &str) -> bool,
) -> Option<(Bytes, Vec<Option<i32>>)> {
    // prost would drop unknown fields on a round trip, and Chapar's own options are unknown to its descriptor
    // types.
    let all = fields(service)?;
    let name = all.iter().find(|field| field.number == NAME).and_then(Field::text)?;
    let full = if package.is_empty() { name } else { format!("{package}.{name}") };
    let mut out = BytesMut::with_capacity(service.len());
    let mut places = Vec::new();
    let mut kept = 0;
    for field in all {
        if field.number == METHOD {
            let method = fields(&field.payload()?)?
                .into_iter()
                .find(|field| field.number == NAME)
                .and_then(|field| field.text())?;
            if !keep(&full, &method) {
                places.push(None);
                continue;
            }
            places.push(Some(kept));
            kept += 1;
        }
        out.extend_from_slice(&field.whole);
    }
    Some((out.freeze(), places))
}

/// Rewrites `[6, service, 2, method, …]` to the new places; false if what it describes has gone.
fn move_path(path: &mut [i32], services: &[i32], methods: &[Vec<Option<i32>>]) -> bool {
    let [6, service, rest @ ..] = path else { return true };
    let Some((new_service, places)) =
        usize::try_from(*service).ok().and_then(|s| Some((services.get(s)?, methods.get(s)?)))
    else {
        return false;
    };
    *service = *new_service;
    if let [2, method, ..] = rest {
        match usize::try_from(*method).ok().and_then(|m| places.get(m)) {
            Some(Some(place)) => *method = *place,
            _ => return false,
        }
    }
    // A comment of the service itself goes with its last method.
    places.iter().any(Option::is_some)
}

/// One field of a message: its number, its bytes with the key, and where its value begins in them.
struct Field {
    number: u32,
    wire: WireType,
    whole: Bytes,
    value: usize,
}

impl Field {
    /// The bytes of a length-delimited value.
    fn payload(&self) -> Option<Bytes> {
        if self.wire != WireType::LengthDelimited {
            return None;
        }
        let mut value = self.whole.slice(self.value..);
        let length = decode_varint(&mut value).ok()?;
        (length == value.len() as u64).then_some(value)
    }

    fn text(&self) -> Option<String> {
        String::from_utf8(self.payload()?.to_vec()).ok()
    }
}

fn fields(message: &Bytes) -> Option<Vec<Field>> {
    let mut rest = message.clone();
    let mut found = Vec::new();
    while rest.has_remaining() {
        let start = rest.clone();
        let (number, wire) = decode_key(&mut rest).ok()?;
        let value = start.len() - rest.len();
        skip_field(wire, number, &mut rest, DecodeContext::default()).ok()?;
        found.push(Field { number, wire, whole: start.slice(..start.len() - rest.len()), value });
    }
    Some(found)
}

fn put(out: &mut BytesMut, number: u32, value: &[u8]) {
    encode_varint(u64::from(number << 3 | WireType::LengthDelimited as u32), out);
    encode_varint(value.len() as u64, out);
    out.put_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost_types::source_code_info::Location;
    use prost_types::{FileDescriptorProto, MethodDescriptorProto, ServiceDescriptorProto};

    fn file() -> FileDescriptorProto {
        let method = |name: &str| MethodDescriptorProto { name: Some(name.to_owned()), ..Default::default() };
        let service = |name: &str, methods: &[&str]| ServiceDescriptorProto {
            name: Some(name.to_owned()),
            method: methods.iter().map(|name| method(name)).collect(),
            ..Default::default()
        };
        let location = |path: &[i32], comment: &str| Location {
            path: path.to_vec(),
            leading_comments: Some(comment.to_owned()),
            ..Default::default()
        };
        FileDescriptorProto {
            name: Some("a/v1/a.proto".to_owned()),
            package: Some("a.v1".to_owned()),
            service: vec![service("Hidden", &["X"]), service("S", &["Get", "List", "Put"])],
            source_code_info: Some(SourceCodeInfo {
                location: vec![
                    location(&[6, 0], "hidden"),
                    location(&[6, 1], "S"),
                    location(&[6, 1, 2, 1], "List"),
                    location(&[6, 1, 2, 2], "Put"),
                ],
            }),
            ..Default::default()
        }
    }

    #[test]
    fn only_kept_methods_and_their_comments_remain() {
        let bytes = Bytes::from(file().encode_to_vec());

        let cut = keep_methods(&bytes, |service, method| service == "a.v1.S" && method != "List").unwrap();

        let cut = FileDescriptorProto::decode(cut).unwrap();
        assert_eq!(cut.service.len(), 1);
        let names: Vec<_> = cut.service[0].method.iter().map(|method| method.name()).collect();
        assert_eq!(names, ["Get", "Put"]);
        let comments: Vec<_> = cut
            .source_code_info
            .unwrap()
            .location
            .into_iter()
            .map(|l| (l.path, l.leading_comments.unwrap()))
            .collect();
        assert_eq!(comments, [(vec![6, 0], "S".to_owned()), (vec![6, 0, 2, 1], "Put".to_owned())]);
    }

    #[test]
    fn keeping_all_changes_nothing() {
        let bytes = Bytes::from(file().encode_to_vec());
        assert_eq!(keep_methods(&bytes, |_, _| true).unwrap(), bytes);
    }

    #[test]
    fn bytes_that_are_no_file_give_nothing() {
        assert!(keep_methods(&Bytes::from_static(&[0x32, 0xff]), |_, _| true).is_none());
    }
}
