"""How calls end: details of a status, answers that are only trailers, broken servers, and cancellation seen by the other end."""

import threading
import time
import unittest

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

import wire
import world
from grpc.testing import messages_pb2, test_pb2_grpc
from test_cases import Sender, output

TIMEOUT = 30.0
SERVICE = "grpc.testing.TestService"
UNAVAILABLE = 14
WHOLE = wire.frame(messages_pb2.SimpleResponse(username="someone").SerializeToString())


class Statuses(unittest.TestCase):
    def setUp(self):
        channel = world.channel(world.gateway().address)
        self.addCleanup(channel.close)
        self.stub = test_pb2_grpc.TestServiceStub(channel)

    def test_the_details_of_a_status_pass(self):
        status = messages_pb2.EchoStatus(message="rich details")
        for call in (
            lambda: self.stub.UnaryCall(messages_pb2.SimpleRequest(response_status=status), timeout=TIMEOUT),
            lambda: list(self.stub.StreamingOutputCall(output([], response_status=status), timeout=TIMEOUT)),
            lambda: list(self.stub.StreamingOutputCall(output([8, 9], response_status=status), timeout=TIMEOUT)),
        ):
            with self.assertRaises(grpc.RpcError) as raised:
                call()
            error = raised.exception
            self.assertEqual((error.code(), error.details()), (grpc.StatusCode.FAILED_PRECONDITION, "بسته"))
            detail = error_details_pb2.PreconditionFailure()
            self.assertTrue(rpc_status.from_call(error).details[0].Unpack(detail))
            self.assertEqual(detail.violations[0].subject, "ثبت")

    def test_messages_that_came_before_a_status_are_delivered(self):
        status = messages_pb2.EchoStatus(code=9, message="later")
        answers, sizes = self.stub.StreamingOutputCall(output([5, 6], response_status=status), timeout=TIMEOUT), []
        with self.assertRaises(grpc.RpcError) as raised:
            for answer in answers:
                sizes.append(len(answer.payload.body))
        self.assertEqual((sizes, raised.exception.code()), ([5, 6], grpc.StatusCode.FAILED_PRECONDITION))


class Wire(unittest.TestCase):
    """Servers that end calls as gRPC's own do not."""

    def setUp(self):
        self.wired = world.wired()
        self.client = self.wired.client()
        self.addCleanup(self.client.close)

    def ask(self, reply, method="UnaryCall"):
        self.wired.answer = lambda *_: reply
        seen = len(self.wired.server.seen)
        answer = self.client.call(f"{SERVICE}/{method}", wire.frame(b""))
        self.assertGreater(len(self.wired.server.seen), seen, "the call reached the server")
        return answer

    def work_again(self):
        """Good calls between the broken ones, so that the gateway does not leave the server alone."""
        for _ in range(3):
            self.assertEqual(self.ask(wire.Reply(body=WHOLE)).status, 0)

    def test_an_answer_of_trailers_only_passes_with_its_code(self):
        for code in range(1, 17):
            for method in ("UnaryCall", "StreamingOutputCall", "StreamingInputCall"):
                answer = self.ask(wire.Reply(trailers=[("grpc-status", str(code)), ("grpc-message", "no%2C")]), method)
                self.assertEqual((answer.status, answer.values(b"grpc-message")), (code, [b"no%2C"]), method)

    def test_a_stream_of_trailers_only_that_says_ok_is_an_empty_stream(self):
        answer = self.ask(wire.Reply(), "StreamingOutputCall")
        self.assertEqual((answer.status, answer.data), (0, b""))

    def test_a_unary_answer_without_a_message_is_none(self):
        self.assertNotEqual(self.ask(wire.Reply()).status, 0)
        self.work_again()

    def test_a_server_that_ends_without_a_status_or_resets_gives_the_caller_a_code_and_no_hang(self):
        for name, reply in {
            "no status": wire.Reply(body=WHOLE, trailers=[("x-end", "1")]),
            "reset before headers": wire.Reply(reset=2),
            "refused stream": wire.Reply(reset=7),
            "reset after a message": wire.Reply(body=WHOLE, reset=8),
            "half a message": wire.Reply(body=WHOLE + b"\x00\x00\x00\x00\x09abc"),
            "half a prefix": wire.Reply(body=WHOLE + b"\x00\x00"),
            "two messages for one": wire.Reply(body=WHOLE * 2),
        }.items():
            with self.subTest(name):
                answer = self.ask(reply)
                self.assertIsNone(answer.reset, "an ending in gRPC's words")
                self.assertIn(answer.status, (UNAVAILABLE, 13))
                self.assertEqual(answer.data, b"", "nothing of a broken answer is released")
            self.work_again()

    def test_a_server_that_answers_before_the_request_has_ended_is_heard(self):
        self.wired.answer = lambda *_: wire.Reply(trailers=[("grpc-status", "5")])
        self.wired.server.at_once = True
        self.addCleanup(setattr, self.wired.server, "at_once", False)
        self.client.begin(f"{SERVICE}/StreamingInputCall")
        self.assertEqual(self.client.rest().status, 5)


class Cancellation(unittest.TestCase):
    """Cancelling at one end ends the call at the other. How soon is printed; that it does is checked."""

    def setUp(self):
        _, self.service, _ = world.server()
        self.channel = world.channel(world.gateway().address)
        self.addCleanup(self.channel.close)
        self.stub = test_pb2_grpc.TestServiceStub(self.channel)

    def arrived(self, before):
        deadline = time.monotonic() + TIMEOUT
        while len(self.service.calls) == before:
            self.assertLess(time.monotonic(), deadline, "the call reaches the server")
            time.sleep(0.001)
        return self.service.calls[-1]

    def cancelled(self, what, seen, cancel):
        began = time.monotonic()
        cancel()
        self.assertTrue(seen.ended.wait(TIMEOUT), f"{what}: the server is told")
        print(f"cancellation of {what} reached the server after {(seen.ended_at - began) * 1000:.1f} ms", flush=True)

    def test_a_cancelled_unary_call_ends_at_the_server(self):
        status = messages_pb2.EchoStatus(message="hang")
        before = len(self.service.calls)
        call = self.stub.UnaryCall.future(messages_pb2.SimpleRequest(response_status=status), timeout=TIMEOUT)
        self.cancelled("a unary call", self.arrived(before), call.cancel)

    def test_a_cancelled_stream_of_answers_ends_at_the_server(self):
        status = messages_pb2.EchoStatus(message="endless")
        call = self.stub.StreamingOutputCall(output([1000], response_status=status), timeout=TIMEOUT)
        next(call)
        self.cancelled("a stream of answers", self.service.calls[-1], call.cancel)

    def test_a_cancelled_stream_of_requests_ends_at_the_server(self):
        sender, before = Sender(), len(self.service.calls)
        call = self.stub.StreamingInputCall.future(iter(sender), timeout=TIMEOUT)
        sender.send(messages_pb2.StreamingInputCallRequest())
        self.cancelled("a stream of requests", self.arrived(before), call.cancel)
        sender.close()

    def test_a_caller_who_hangs_up_ends_the_call_at_the_server(self):
        status = messages_pb2.EchoStatus(message="endless")
        channel = world.channel(world.gateway().address)
        call = test_pb2_grpc.TestServiceStub(channel).StreamingOutputCall(output([9], response_status=status), timeout=TIMEOUT)
        next(call)
        self.cancelled("a closed channel", self.service.calls[-1], channel.close)

    def test_a_server_that_breaks_off_a_stream_is_seen_by_the_caller(self):
        wired = world.wired()
        message = wire.frame(messages_pb2.StreamingOutputCallResponse().SerializeToString())
        wired.answer = lambda *_: wire.Reply(body=message, reset=8)
        channel = world.channel(wired.gateway.address)
        self.addCleanup(channel.close)
        ended = threading.Event()
        call = test_pb2_grpc.TestServiceStub(channel).StreamingOutputCall(output([9]), timeout=TIMEOUT)
        call.add_callback(ended.set)
        began = time.monotonic()
        with self.assertRaises(grpc.RpcError) as raised:
            list(call)
        self.assertTrue(ended.wait(TIMEOUT))
        print(f"a server's reset reached the caller after {(time.monotonic() - began) * 1000:.1f} ms", flush=True)
        self.assertNotEqual(raised.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
