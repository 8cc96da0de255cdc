"""The cases of gRPC's `doc/interop-test-descriptions.md` that grpcio's client and server can both play. Each runs twice: without
the gateway, and through it. Those of compression are in `test_compression`; `cacheable_unary` needs GET, which no bus offers."""

import queue
import unittest

import grpc

import world
from grpc.testing import empty_pb2, messages_pb2, test_pb2_grpc

TIMEOUT = 30.0
UPLOAD = [27182, 8, 1828, 45904]
DOWNLOAD = [31415, 9, 2653, 58979]
INITIAL, TRAILING = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"
SPECIAL = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"


def payload(size):
    return messages_pb2.Payload(body=bytes(size))


def output(sizes, **others):
    parameters = [messages_pb2.ResponseParameters(size=size) for size in sizes]
    return messages_pb2.StreamingOutputCallRequest(response_parameters=parameters, **others)


def large(**others):
    return messages_pb2.SimpleRequest(response_size=314159, payload=payload(271828), **others)


class Sender:
    """Requests that are sent one by one, while answers are read."""

    def __init__(self):
        self._queue = queue.Queue()

    def send(self, request):
        self._queue.put(request)

    def close(self):
        self._queue.put(None)

    def __iter__(self):
        return iter(self._queue.get, None)


class Cases:
    """The cases, whatever the address is."""

    def address(self):
        raise NotImplementedError

    def setUp(self):
        channel = world.channel(self.address())
        self.addCleanup(channel.close)
        self.stub = test_pb2_grpc.TestServiceStub(channel)
        self.channel = channel

    def sizes(self, answers):
        bodies = [answer.payload.body for answer in answers]
        self.assertTrue(all(body == bytes(len(body)) for body in bodies), "a payload is zeros")
        return [len(body) for body in bodies]

    def failure(self, call):
        with self.assertRaises(grpc.RpcError) as raised:
            answer = call()
            if hasattr(answer, "__next__"):
                list(answer)
        return raised.exception

    def test_empty_unary(self):
        self.assertEqual(self.stub.EmptyCall(empty_pb2.Empty(), timeout=TIMEOUT), empty_pb2.Empty())

    def test_large_unary(self):
        self.assertEqual(self.sizes([self.stub.UnaryCall(large(), timeout=TIMEOUT)]), [314159])

    def test_client_streaming(self):
        requests = (messages_pb2.StreamingInputCallRequest(payload=payload(size)) for size in UPLOAD)
        answer = self.stub.StreamingInputCall(requests, timeout=TIMEOUT)
        self.assertEqual(answer.aggregated_payload_size, 74922)

    def test_server_streaming(self):
        self.assertEqual(self.sizes(self.stub.StreamingOutputCall(output(DOWNLOAD), timeout=TIMEOUT)), DOWNLOAD)

    def test_ping_pong(self):
        sender = Sender()
        answers = self.stub.FullDuplexCall(iter(sender), timeout=TIMEOUT)
        for up, down in zip(UPLOAD, DOWNLOAD):
            sender.send(output([down], payload=payload(up)))
            self.assertEqual(self.sizes([next(answers)]), [down])
        sender.close()
        self.assertEqual(list(answers), [])

    def test_empty_stream(self):
        self.assertEqual(list(self.stub.FullDuplexCall(iter([]), timeout=TIMEOUT)), [])

    def test_custom_metadata(self):
        sent = [(INITIAL, "test_initial_metadata_value"), (TRAILING, b"\xab\xab\xab")]
        unary = self.stub.UnaryCall.with_call(large(), metadata=sent, timeout=TIMEOUT)[1]
        duplex = self.stub.FullDuplexCall(iter([output([314159], payload=payload(271828))]), metadata=sent, timeout=TIMEOUT)
        list(duplex)
        for call in (unary, duplex):
            self.assertIn(sent[0], [tuple(pair) for pair in call.initial_metadata()])
            self.assertIn(sent[1], [tuple(pair) for pair in call.trailing_metadata()])

    def test_status_code_and_message(self):
        status = messages_pb2.EchoStatus(code=2, message="test status message")
        for call in (
            lambda: self.stub.UnaryCall(messages_pb2.SimpleRequest(response_status=status), timeout=TIMEOUT),
            lambda: self.stub.FullDuplexCall(iter([output([], response_status=status)]), timeout=TIMEOUT),
        ):
            error = self.failure(call)
            self.assertEqual((error.code(), error.details()), (grpc.StatusCode.UNKNOWN, "test status message"))

    def test_special_status_message(self):
        status = messages_pb2.EchoStatus(code=2, message=SPECIAL)
        error = self.failure(lambda: self.stub.UnaryCall(messages_pb2.SimpleRequest(response_status=status), timeout=TIMEOUT))
        self.assertEqual((error.code(), error.details()), (grpc.StatusCode.UNKNOWN, SPECIAL))

    def test_unimplemented_method(self):
        error = self.failure(lambda: self.stub.UnimplementedCall(empty_pb2.Empty(), timeout=TIMEOUT))
        self.assertEqual(error.code(), grpc.StatusCode.UNIMPLEMENTED)

    def test_unimplemented_service(self):
        stub = test_pb2_grpc.UnimplementedServiceStub(self.channel)
        error = self.failure(lambda: stub.UnimplementedCall(empty_pb2.Empty(), timeout=TIMEOUT))
        self.assertEqual(error.code(), grpc.StatusCode.UNIMPLEMENTED)

    def test_cancel_after_begin(self):
        sender = Sender()
        call = self.stub.StreamingInputCall.future(iter(sender), timeout=TIMEOUT)
        call.cancel()
        sender.close()
        self.assertTrue(call.cancelled())
        self.assertEqual(call.code(), grpc.StatusCode.CANCELLED)

    def test_cancel_after_first_response(self):
        sender = Sender()
        call = self.stub.FullDuplexCall(iter(sender), timeout=TIMEOUT)
        sender.send(output([31415], payload=payload(27182)))
        self.assertEqual(self.sizes([next(call)]), [31415])
        call.cancel()
        self.assertEqual(self.failure(lambda: call).code(), grpc.StatusCode.CANCELLED)
        sender.close()

    def test_timeout_on_sleeping_server(self):
        sender = Sender()
        sender.send(messages_pb2.StreamingOutputCallRequest(payload=payload(27182)))
        error = self.failure(lambda: self.stub.FullDuplexCall(iter(sender), timeout=0.001))
        self.assertEqual(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        sender.close()


class WithoutTheGateway(Cases, unittest.TestCase):
    """Proves client and server against each other."""

    def address(self):
        return f"localhost:{world.server()[2]}"


class ThroughTheGateway(Cases, unittest.TestCase):
    """The same through the gateway."""

    def address(self):
        return world.gateway().address
