"""gRPC's interop server on grpcio, with what it saw kept for the tests: each call's metadata, deadline and end."""

import concurrent.futures
import dataclasses
import threading
import time

import grpc
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from grpc.testing import empty_pb2, messages_pb2, test_pb2_grpc

INITIAL, TRAILING = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"
# These calls ask for more than the interop cases do; the word stands in the status message that the server shall echo.
RICH, REPEAT, ENDLESS, HANG = "rich details", "repeat metadata", "endless", "hang"


@dataclasses.dataclass
class Seen:
    """One call as the server saw it."""

    method: str
    metadata: list
    time_left: float
    ended: threading.Event = dataclasses.field(default_factory=threading.Event)
    ended_at: float = 0.0
    sent: int = 0


class TestService(test_pb2_grpc.TestServiceServicer):
    """The service. `calls` holds what came, in order."""

    def __init__(self):
        self.calls = []

    def _saw(self, method, context):
        seen = Seen(method, [(pair.key, pair.value) for pair in context.invocation_metadata()], context.time_remaining())

        def ended():
            seen.ended_at = time.monotonic()
            seen.ended.set()

        if not context.add_callback(ended):
            ended()
        self.calls.append(seen)
        metadata = dict(seen.metadata)
        if INITIAL in metadata:
            context.send_initial_metadata([(INITIAL, metadata[INITIAL])])
        if TRAILING in metadata:
            context.set_trailing_metadata([(TRAILING, metadata[TRAILING])])
        return seen

    @staticmethod
    def _status(request, context):
        status = request.response_status
        if status.message == RICH:
            detail = any_pb2.Any()
            detail.Pack(error_details_pb2.PreconditionFailure(violations=[dict(type="T", subject="ثبت", description="D")]))
            context.abort_with_status(
                rpc_status.to_status(status_pb2.Status(code=code_pb2.FAILED_PRECONDITION, message="بسته", details=[detail]))
            )
        if status.code:
            context.set_code(next(code for code in grpc.StatusCode if code.value[0] == status.code))
            context.set_details(status.message)
        return status.code != 0

    def EmptyCall(self, request, context):
        self._saw("EmptyCall", context)
        return empty_pb2.Empty()

    def UnaryCall(self, request, context):
        seen = self._saw("UnaryCall", context)
        if request.HasField("response_compressed"):
            context.set_compression(
                grpc.Compression.Gzip if request.response_compressed.value else grpc.Compression.NoCompression
            )
        if request.response_status.message == REPEAT:
            repeated = [pair for pair in seen.metadata if pair[0] in ("x-many", "x-many-bin", "x-empty")]
            context.send_initial_metadata(repeated)
            context.set_trailing_metadata(repeated + [("x-end", "1")])
        elif request.response_status.message == HANG:
            seen.ended.wait(60)
        elif self._status(request, context):
            return messages_pb2.SimpleResponse()
        username = "someone" if request.fill_username else ""
        return messages_pb2.SimpleResponse(payload=_payload(request.response_size), username=username)

    def StreamingInputCall(self, requests, context):
        self._saw("StreamingInputCall", context)
        size = sum(len(request.payload.body) for request in requests)
        return messages_pb2.StreamingInputCallResponse(aggregated_payload_size=size)

    def StreamingOutputCall(self, request, context):
        seen = self._saw("StreamingOutputCall", context)
        yield from self._answers(request, context, seen)
        self._status(request, context)

    def FullDuplexCall(self, requests, context):
        seen = self._saw("FullDuplexCall", context)
        for request in requests:
            if request.response_status.message == HANG:
                seen.ended.wait(60)
                return
            if self._status(request, context):
                return
            yield from self._answers(request, context, seen)

    @staticmethod
    def _answers(request, context, seen):
        for parameters in request.response_parameters:
            if parameters.interval_us:
                time.sleep(parameters.interval_us / 1e6)
            if parameters.HasField("compressed"):
                if parameters.compressed.value:
                    context.set_compression(grpc.Compression.Gzip)
                else:
                    context.disable_next_message_compression()
            endless = request.response_status.message == ENDLESS
            while True:
                yield messages_pb2.StreamingOutputCallResponse(payload=_payload(parameters.size))
                seen.sent += 1
                if not endless or seen.ended.is_set():
                    break


def _payload(size):
    return messages_pb2.Payload(body=bytes(size))


def serve(authority, identity):
    """A running server, its service, and its port."""
    cert, key = authority.issue(identity)
    credentials = grpc.ssl_server_credentials(
        [(key.read_bytes(), cert.read_bytes())], authority.cert.read_bytes(), require_client_auth=True
    )
    pool = concurrent.futures.ThreadPoolExecutor(64)
    server = grpc.server(pool, options=[("grpc.max_receive_message_length", 8 << 20)])
    service = TestService()
    test_pb2_grpc.add_TestServiceServicer_to_server(service, server)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    return server, service, port
