"""Over the grant's rate: so many answered, so many refused, each told when to come back."""

import time
import unittest

import grpc

import bus
import call

GRANT = "welfare-getperson"
CALLS = 120


class Limits(unittest.TestCase):
    def setUp(self):
        self.bus = bus.started()
        self.limit = self.bus.demo["limits"][GRANT]
        citizen = self.bus.person_with("civil")["national_id"]
        channel = self.bus.channel(bus.WELFARE)
        self.addCleanup(channel.close)
        self.method = bus.stubs("civil.v1.civil_pb2_grpc").CivilRegistryStub(channel).GetPerson
        self.request = bus.stubs("civil.v1.civil_pb2").GetPersonRequest(national_id=citizen)
        self.metadata = call.metadata(purpose="benefit.eligibility")
        # Before and after: the whole burst is there again.
        self.bus.refill(GRANT)
        self.addCleanup(self.bus.refill, GRANT)

    def test_a_burst_over_the_limit_is_refused_with_when_to_retry(self):
        began = time.monotonic()
        calls = [self.method.future(self.request, metadata=self.metadata, timeout=call.TIMEOUT) for _ in range(CALLS)]
        outcomes = [made.exception() for made in calls]
        took = time.monotonic() - began

        answered = outcomes.count(None)
        refusals = [call.decode(error) for error in outcomes if error is not None]
        words = {refusal.reason for refusal in refusals}
        self.assertIn("RATE_LIMITED", words)
        # A grant may also bound the calls in flight; nothing else refuses here.
        self.assertLessEqual(words, {"RATE_LIMITED", "CONCURRENCY_LIMITED"})
        self.assertLessEqual(answered, self.limit["burst"] + self.limit["rate"] * took + 1)
        if words == {"RATE_LIMITED"}:
            self.assertGreaterEqual(answered, self.limit["burst"])
        for refusal in refusals:
            self.assertEqual(refusal.code, grpc.StatusCode.RESOURCE_EXHAUSTED)
            if refusal.reason == "RATE_LIMITED":
                wait = refusal.details["RetryInfo"].retry_delay.ToTimedelta().total_seconds()
                self.assertGreater(wait, 0)
                self.assertLessEqual(wait, CALLS / self.limit["rate"])
                self.assertGreater(int(refusal.trailers["grpc-retry-pushback-ms"]), 0)
                self.assertTrue(refusal.details["QuotaFailure"].violations)

    def test_who_waits_as_told_is_answered(self):
        refusal = None
        for _ in range(CALLS):
            try:
                self.method(self.request, metadata=self.metadata, timeout=call.TIMEOUT)
            except grpc.RpcError as error:
                refusal = call.decode(error)
                break
        self.assertIsNotNone(refusal, f"{CALLS} calls one after the other were all answered")
        self.assertEqual(refusal.reason, "RATE_LIMITED")
        time.sleep(refusal.details["RetryInfo"].retry_delay.ToTimedelta().total_seconds() + 0.01)

        self.method(self.request, metadata=self.metadata, timeout=call.TIMEOUT)
