"""gRPC's four cases of compression, frame by frame, since grpcio shows no one a message's flag; without the gateway and through
it. And what a bus adds: messages that must be looked into, and those that cannot be unpacked."""

import gzip
import unittest
import zlib

import gateway
import wire
import world
from grpc.testing import messages_pb2

INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL = 3, 8, 12, 13
SERVICE = "grpc.testing.TestService"
GZIP = [("grpc-encoding", "gzip"), ("grpc-accept-encoding", "identity,gzip")]
BOMB = 256 << 20


def payload(size):
    return messages_pb2.Payload(body=bytes(size))


def truth(value):
    return messages_pb2.BoolValue(value=value)


def bomb():
    """A quarter of a gigabyte of zeros, packed to a quarter of a megabyte."""
    packer = zlib.compressobj(9, wbits=31)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(BOMB >> 20)) + packer.flush()
    assert len(packed) < 1 << 19
    return packed


def interop(method, headers, body):
    """The interop server's answers, with the flags of the messages that came compared to what was promised."""
    came = wire.messages(body)
    kind = messages_pb2.SimpleRequest if method == "UnaryCall" else messages_pb2.StreamingInputCallRequest
    if method == "StreamingOutputCall":
        request = messages_pb2.StreamingOutputCallRequest.FromString(came[0][1])
        answers = [
            wire.frame(
                messages_pb2.StreamingOutputCallResponse(payload=payload(parameters.size)).SerializeToString(),
                parameters.compressed.value,
            )
            for parameters in request.response_parameters
        ]
        return wire.Reply(headers=[("grpc-encoding", "gzip")], body=b"".join(answers))
    requests = [(packed, kind.FromString(message)) for packed, message in came]
    if any(request.HasField("expect_compressed") and request.expect_compressed.value != packed for packed, request in requests):
        return wire.Reply(trailers=[("grpc-status", str(INVALID_ARGUMENT)), ("grpc-message", "not as promised")])
    if method == "StreamingInputCall":
        size = sum(len(request.payload.body) for _, request in requests)
        answer = messages_pb2.StreamingInputCallResponse(aggregated_payload_size=size)
        return wire.Reply(body=wire.frame(answer.SerializeToString()))
    request = requests[0][1]
    username = "someone" if request.fill_username else ""
    answer = messages_pb2.SimpleResponse(payload=payload(request.response_size), username=username)
    packed = request.response_compressed.value
    return wire.Reply(headers=[("grpc-encoding", "gzip")], body=wire.frame(answer.SerializeToString(), packed))


def simple(**fields):
    return messages_pb2.SimpleRequest(response_size=314159, payload=payload(271828), **fields).SerializeToString()


def part(size, expect):
    return messages_pb2.StreamingInputCallRequest(payload=payload(size), expect_compressed=truth(expect)).SerializeToString()


class Cases:
    """The four cases."""

    def setUp(self):
        self.wired = world.wired()
        self.wired.answer = interop
        self.client = self.wired.client(self.address())
        self.addCleanup(self.client.close)

    def call(self, method, *frames):
        return self.client.call(f"{SERVICE}/{method}", b"".join(frames), GZIP)

    def test_client_compressed_unary(self):
        probe = self.call("UnaryCall", wire.frame(simple(expect_compressed=truth(True))))
        self.assertEqual(probe.status, INVALID_ARGUMENT, "the probe lies about its flag, and the server sees it")
        for packed in (True, False):
            answer = self.call("UnaryCall", wire.frame(simple(expect_compressed=truth(packed)), packed))
            self.assertEqual(answer.status, 0)
            response = messages_pb2.SimpleResponse.FromString(wire.messages(answer.data)[0][1])
            self.assertEqual(response.payload.body, bytes(314159))

    def test_server_compressed_unary(self):
        for packed in (True, False):
            answer = self.call("UnaryCall", wire.frame(simple(response_compressed=truth(packed))))
            self.assertEqual(answer.status, 0)
            ((flag, message),) = wire.messages(answer.data)
            self.assertEqual((flag, messages_pb2.SimpleResponse.FromString(message).payload.body), (packed, bytes(314159)))

    def test_client_compressed_streaming(self):
        probe = self.call("StreamingInputCall", wire.frame(part(27182, True)))
        self.assertEqual(probe.status, INVALID_ARGUMENT)
        answer = self.call("StreamingInputCall", wire.frame(part(27182, True), True), wire.frame(part(45904, False)))
        self.assertEqual(answer.status, 0)
        response = messages_pb2.StreamingInputCallResponse.FromString(wire.messages(answer.data)[0][1])
        self.assertEqual(response.aggregated_payload_size, 73086)

    def test_server_compressed_streaming(self):
        parameters = [
            messages_pb2.ResponseParameters(size=31415, compressed=truth(True)),
            messages_pb2.ResponseParameters(size=92653, compressed=truth(False)),
        ]
        request = messages_pb2.StreamingOutputCallRequest(response_parameters=parameters)
        answer = self.call("StreamingOutputCall", wire.frame(request.SerializeToString()))
        self.assertEqual(answer.status, 0)
        came = [
            (flag, len(messages_pb2.StreamingOutputCallResponse.FromString(message).payload.body))
            for flag, message in wire.messages(answer.data)
        ]
        self.assertEqual(came, [(True, 31415), (False, 92653)])


class WithoutTheGateway(Cases, unittest.TestCase):
    def address(self):
        return f"127.0.0.1:{world.wired().server.port}"


class ThroughTheGateway(Cases, unittest.TestCase):
    def address(self):
        return world.wired().gateway.address

    def test_a_compressed_answer_is_minimised(self):
        client = self.wired.client(subsystem=gateway.NARROW)
        self.addCleanup(client.close)
        request = wire.frame(simple(fill_username=True, response_compressed=truth(True)))
        answer = client.call(f"{SERVICE}/UnaryCall", request, GZIP)
        self.assertEqual(answer.status, 0)
        response = messages_pb2.SimpleResponse.FromString(wire.messages(answer.data)[0][1])
        self.assertEqual((response.username, response.payload.body), ("", bytes(314159)))
        entire = self.call("UnaryCall", request)
        self.assertEqual(messages_pb2.SimpleResponse.FromString(wire.messages(entire.data)[0][1]).username, "someone")

    def test_a_request_that_unpacks_to_too_much_is_refused_and_costs_no_memory(self):
        before, seen = self.wired.gateway.resident(), len(self.wired.server.seen)
        answer = self.call("UnaryCall", wire.framed(bomb(), 1))
        self.assertEqual(answer.status, RESOURCE_EXHAUSTED)
        self.assertLess(self.wired.gateway.resident() - before, 64 << 20)
        self.assertEqual(len(self.wired.server.seen), seen, "nothing of it reached the server")

    def test_an_answer_that_unpacks_to_too_much_is_refused_and_costs_no_memory(self):
        packed = bomb()
        self.wired.answer = lambda *_: wire.Reply(headers=[("grpc-encoding", "gzip")], body=wire.framed(packed, 1))
        before = self.wired.gateway.resident()
        answer = self.call("UnaryCall", wire.frame(simple()))
        self.assertNotEqual(answer.status, 0)
        self.assertEqual(answer.data, b"")
        self.assertLess(self.wired.gateway.resident() - before, 64 << 20)

    def test_a_message_that_is_not_what_it_says_is_refused(self):
        packed = gzip.compress(simple())
        for content in (b"not gzip", packed[:-9], packed[:40] + b"\xff" * 40 + packed[80:]):
            seen = len(self.wired.server.seen)
            self.assertEqual(self.call("UnaryCall", wire.framed(content, 1)).status, INTERNAL)
            self.assertEqual(len(self.wired.server.seen), seen)

    def test_an_answer_that_is_not_what_it_says_is_refused(self):
        self.wired.answer = lambda *_: wire.Reply(headers=[("grpc-encoding", "gzip")], body=wire.framed(b"not gzip", 1))
        answer = self.call("UnaryCall", wire.frame(simple()))
        self.assertNotEqual(answer.status, 0)
        self.assertEqual(answer.data, b"")

    def test_an_encoding_that_nobody_knows_is_refused_with_those_that_are_known(self):
        request = wire.framed(b"whatever", 1)
        answer = self.client.call(f"{SERVICE}/UnaryCall", request, [("grpc-encoding", "lzma")])
        self.assertEqual(answer.status, UNIMPLEMENTED)
        self.assertEqual(answer.values(b"grpc-accept-encoding"), [b"identity,gzip,zstd"])

    def test_a_compressed_message_without_an_encoding_is_refused(self):
        answer = self.client.call(f"{SERVICE}/UnaryCall", wire.frame(simple(), True))
        self.assertEqual(answer.status, INTERNAL)
