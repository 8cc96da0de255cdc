//! The names of gRPC's status codes.

/// By number (<https://github.com/grpc/grpc/blob/master/doc/statuscodes.md>).
const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The name of a gRPC status code; a number that is none counts as UNKNOWN, as gRPC has it.
pub fn status_name(code: u8) -> &'static str {
    NAMES.get(usize::from(code)).copied().unwrap_or("UNKNOWN")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_the_name_of_its_status_and_another_one_is_unknown() {
        assert_eq!([0, 5, 16].map(status_name), ["OK", "NOT_FOUND", "UNAUTHENTICATED"]);
        assert_eq!([2, 17, 255].map(status_name), ["UNKNOWN"; 3]);
    }
}
