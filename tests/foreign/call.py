"""Calls and their answers: metadata, the google.rpc details of a refusal, and the bus's trailers."""

import dataclasses

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

DETAILS = (
    error_details_pb2.ErrorInfo,
    error_details_pb2.RetryInfo,
    error_details_pb2.QuotaFailure,
    error_details_pb2.BadRequest,
    error_details_pb2.Help,
    error_details_pb2.LocalizedMessage,
)

TIMEOUT = 10.0


def metadata(purpose=None, on_behalf_of=None, **others):
    """Request metadata of the bus; the clerk and the file number are always sent."""
    pairs = [("chapar-case", "1404-771"), ("chapar-clerk", "z.karimi")]
    if purpose:
        pairs.append(("chapar-purpose", purpose))
    if on_behalf_of:
        pairs.append(("chapar-on-behalf-of", on_behalf_of))
    return pairs + [(name.replace("_", "-"), value) for name, value in others.items()]


@dataclasses.dataclass
class Refusal:
    """What a refused caller holds."""

    code: grpc.StatusCode
    message: str
    info: error_details_pb2.ErrorInfo
    details: dict
    trailers: dict
    encoded: bytes

    @property
    def reason(self):
        return self.info.reason


def refused(call):
    """Runs `call` and decodes its refusal; an answer is a failure of the test."""
    try:
        answer = call()
        if hasattr(answer, "__iter__"):
            list(answer)
    except grpc.RpcError as error:
        return decode(error)
    raise AssertionError("the call was answered, and should have been refused")


def decode(error):
    """The refusal in a gRPC error: exactly one ErrorInfo of the bus, and the other details by their type's name."""
    status = rpc_status.from_call(error)
    assert status is not None, f"no google.rpc.Status with {error.code()}: {error.details()}"
    details = {}
    for packed in status.details:
        for kind in DETAILS:
            if packed.Is(kind.DESCRIPTOR):
                message = kind()
                packed.Unpack(message)
                assert kind.__name__ not in details, f"two {kind.__name__}"
                details[kind.__name__] = message
                break
        else:
            raise AssertionError(f"a detail that gRPC does not know: {packed.type_url}")
    info = details["ErrorInfo"]
    assert info.domain == "chapar", info
    assert status.code == error.code().value[0], "the two statuses differ"
    return Refusal(error.code(), error.details(), info, details, dict(error.trailing_metadata() or ()), status.SerializeToString())


def trailers(call):
    """The trailers of an answered call, as a dictionary."""
    return dict(call.trailing_metadata())


def fields(text):
    """`chapar-fields`, e.g. `disclosed=a,b;withheld=c`, as two sets."""
    parts = dict(part.split("=", 1) for part in text.split(";"))
    assert set(parts) == {"disclosed", "withheld"}, text
    return tuple({path for path in parts[name].split(",") if path} for name in ("disclosed", "withheld"))
