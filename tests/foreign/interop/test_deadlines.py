"""Deadlines: shrunk on the way, capped where the caller gives none, covering the whole call, and refused where they are none."""

import unittest

import grpc

import wire
import world
from grpc.testing import messages_pb2, test_pb2_grpc
from test_cases import Sender, output

UNARY = "grpc.testing.TestService/UnaryCall"
CONTRACT = 30.0  # seconds that the contract gives a unary call
MALFORMED = ["", "abc", "S", "10", "-1S", "+1S", " 1S", "1 S", "1.5S", "1s", "5X", "123456789S", "1S1S", "٣S".encode()]
UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


class Deadlines(unittest.TestCase):
    def setUp(self):
        _, self.service, _ = world.server()
        channel = world.channel(world.gateway().address)
        self.addCleanup(channel.close)
        self.stub = test_pb2_grpc.TestServiceStub(channel)

    def test_a_server_has_less_time_than_its_caller_gave(self):
        self.stub.UnaryCall(messages_pb2.SimpleRequest(), timeout=10.0)
        self.assertLess(self.service.calls[-1].time_left, 10.0)
        self.assertGreater(self.service.calls[-1].time_left, 5.0)

    def test_a_call_without_a_deadline_or_with_a_far_one_has_the_contracts(self):
        for timeout in (None, 3600.0):
            self.stub.UnaryCall(messages_pb2.SimpleRequest(), timeout=timeout)
            self.assertLess(self.service.calls[-1].time_left, CONTRACT)
            self.assertGreater(self.service.calls[-1].time_left, CONTRACT / 2)

    def test_a_deadline_covers_the_whole_stream(self):
        status = messages_pb2.EchoStatus(message="endless")
        request = output([100], response_status=status)
        request.response_parameters[0].interval_us = 1000
        with self.assertRaises(grpc.RpcError) as raised:
            list(self.stub.StreamingOutputCall(request, timeout=0.5))
        self.assertEqual(raised.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        self.assertTrue(self.service.calls[-1].ended.wait(30), "the server is told")

    def test_a_stream_of_requests_that_stands_still_ends_at_its_deadline(self):
        sender = Sender()
        call = self.stub.StreamingInputCall.future(iter(sender), timeout=0.5)
        self.assertEqual(call.exception(timeout=30).code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        sender.close()


class Wire(unittest.TestCase):
    """Frame by frame: values that no library sends."""

    def setUp(self):
        self.wired = world.wired()
        self.wired.answer = lambda *_: wire.Reply(body=wire.frame(messages_pb2.SimpleResponse().SerializeToString()))
        self.client = self.wired.client()
        self.addCleanup(self.client.close)

    def test_a_malformed_deadline_is_refused_and_never_means_none(self):
        for value in MALFORMED:
            with self.subTest(value):
                seen = len(self.wired.server.seen)
                answer = self.client.call(UNARY, wire.frame(b""), [("grpc-timeout", value)])
                self.assertEqual(answer.status, 13)
                self.assertEqual(len(self.wired.server.seen), seen, "nothing reached the server")

    def test_the_server_is_given_a_well_formed_deadline_that_is_shorter(self):
        for sent, seconds in (("5S", 5.0), ("20000m", 20.0), ("1H", CONTRACT), (None, CONTRACT)):
            answer = self.client.call(UNARY, wire.frame(b""), [("grpc-timeout", sent)] if sent else [])
            self.assertEqual(answer.status, 0)
            value = dict(self.wired.server.seen[-1])["grpc-timeout"]
            self.assertLessEqual(len(value), 9)
            left = int(value[:-1]) * UNITS[value[-1]]
            self.assertLess(left, seconds)
            self.assertGreater(left, seconds / 2)

    def test_a_deadline_that_has_passed_is_told_so(self):
        for value in ("0S", "1n", "0n"):
            answer = self.client.call(UNARY, wire.frame(b""), [("grpc-timeout", value)])
            self.assertEqual(answer.status, 4, value)

    def test_a_server_that_never_answers_costs_the_caller_its_deadline_only(self):
        self.wired.answer = lambda *_: None
        answer = self.client.call(UNARY, wire.frame(b""), [("grpc-timeout", "300m")])
        self.assertEqual(answer.status, 4)
