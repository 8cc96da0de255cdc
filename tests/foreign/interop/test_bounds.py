"""Bounds: messages over the limit in both directions, and a slow reader of a long stream who costs the gateway no memory."""

import time
import unittest

import grpc

import world
from grpc.testing import messages_pb2, test_pb2_grpc
from test_cases import output, payload

TIMEOUT = 60.0
LIMIT = 1 << 20  # `max_message` of the gateway
LARGE = 256 << 10
COUNT = 400
ALLOWED = 32 << 20


class Bounds(unittest.TestCase):
    def setUp(self):
        _, self.service, _ = world.server()
        channel = world.channel(world.gateway().address, **{"grpc.max_receive_message_length": 8 << 20})
        self.addCleanup(channel.close)
        self.stub = test_pb2_grpc.TestServiceStub(channel)

    def code(self, call):
        with self.assertRaises(grpc.RpcError) as raised:
            call()
        return raised.exception.code()

    def test_a_request_over_the_limit_is_refused_and_does_not_reach_the_server(self):
        before = len(self.service.calls)
        request = messages_pb2.SimpleRequest(payload=payload(LIMIT + 1))
        self.assertEqual(self.code(lambda: self.stub.UnaryCall(request, timeout=TIMEOUT)), grpc.StatusCode.RESOURCE_EXHAUSTED)
        self.assertEqual(len(self.service.calls), before)

    def test_a_message_over_the_limit_ends_a_stream_of_requests(self):
        requests = (messages_pb2.StreamingInputCallRequest(payload=payload(size)) for size in (10, LIMIT + 1))
        code = self.code(lambda: self.stub.StreamingInputCall(requests, timeout=TIMEOUT))
        self.assertEqual(code, grpc.StatusCode.RESOURCE_EXHAUSTED)

    def test_an_answer_over_the_limit_is_refused(self):
        request = messages_pb2.SimpleRequest(response_size=LIMIT + 1)
        code = self.code(lambda: self.stub.UnaryCall(request, timeout=TIMEOUT))
        self.assertIn(code, (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INTERNAL))
        code = self.code(lambda: list(self.stub.StreamingOutputCall(output([10, LIMIT + 1]), timeout=TIMEOUT)))
        self.assertIn(code, (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INTERNAL))

    def test_messages_at_the_limit_pass(self):
        room = LIMIT - 64
        answer = self.stub.UnaryCall(messages_pb2.SimpleRequest(response_size=room, payload=payload(room)), timeout=TIMEOUT)
        self.assertEqual(len(answer.payload.body), room)

    def test_a_slow_reader_of_a_long_stream_costs_the_gateway_no_memory(self):
        gateway = world.gateway()
        before = gateway.resident()
        answers = self.stub.StreamingOutputCall(output([LARGE] * COUNT), timeout=TIMEOUT)
        self.assertEqual(len(next(answers).payload.body), LARGE)
        seen = self.service.calls[-1]
        held = self.stands_still(lambda: seen.sent)
        grown = gateway.resident() - before
        print(f"slow reader: the server could send {held} of {COUNT} messages; the gateway grew by {grown >> 10} KiB", flush=True)
        self.assertLess(held, COUNT // 2, "the reader's slowness reaches the server")
        self.assertLess(grown, ALLOWED)
        self.assertEqual(sum(1 for _ in answers), COUNT - 1, "and the stream ends as it should")
        self.assertLess(gateway.resident() - before, ALLOWED)

    def stands_still(self, count):
        """The count, once it has not changed for a second."""
        last, since = count(), time.monotonic()
        while time.monotonic() - since < 1.0:
            time.sleep(0.02)
            if count() != last:
                last, since = count(), time.monotonic()
        return last
