"""What a caller without a right, or with a wrong request, receives: one reason, and details that say what to do."""

import re
import time
import unittest

import grpc

import bus
import call


class Refusals(unittest.TestCase):
    def setUp(self):
        self.bus = bus.started()
        self.citizen = self.bus.person_with("civil")["national_id"]
        self.messages = bus.stubs("civil.v1.civil_pb2")

    def get_person(self, identity, national_id=None, **metadata):
        channel = self.bus.channel(identity)
        self.addCleanup(channel.close)
        stub = bus.stubs("civil.v1.civil_pb2_grpc").CivilRegistryStub(channel)
        request = self.messages.GetPersonRequest(national_id=national_id or self.citizen)
        return call.refused(lambda: stub.GetPerson(request, metadata=call.metadata(**metadata), timeout=call.TIMEOUT))

    def assert_refused(self, refusal, code, reason):
        self.assertEqual((refusal.code, refusal.reason), (code, reason), refusal.message)
        self.assertIn(reason, refusal.details["Help"].links[0].url)
        self.assertNotIn(self.citizen.encode(), refusal.encoded)

    def test_a_call_without_a_purpose_is_told_to_send_one(self):
        refusal = self.get_person(bus.WELFARE)
        self.assert_refused(refusal, grpc.StatusCode.INVALID_ARGUMENT, "PURPOSE_REQUIRED")
        self.assertIn("chapar-purpose", refusal.message)

    def test_a_purpose_that_the_contract_does_not_know_is_refused(self):
        refusal = self.get_person(bus.WELFARE, purpose="marketing.newsletter")
        self.assert_refused(refusal, grpc.StatusCode.INVALID_ARGUMENT, "PURPOSE_UNKNOWN")

    def test_a_purpose_of_the_contract_that_the_grant_lacks_is_refused(self):
        options = bus.stubs("chapar.contract.v1.options_pb2")
        method = self.messages.DESCRIPTOR.services_by_name["CivilRegistry"].methods_by_name["GetPerson"]
        purposes = set(method.GetOptions().Extensions[options.method].purposes)
        self.assertIn("benefit.eligibility", purposes)
        for purpose in sorted(purposes - {"benefit.eligibility"}):
            refusal = self.get_person(bus.WELFARE, purpose=purpose)
            self.assert_refused(refusal, grpc.StatusCode.PERMISSION_DENIED, "PURPOSE_NOT_GRANTED")
        self.assertGreater(len(purposes), 1)

    def test_a_registered_member_without_a_grant_is_refused(self):
        # Refusals of one caller for one reason share a record for a second, and the record of those that were folded
        # begins another second. Another test may have been refused so.
        for _ in range(3):
            time.sleep(2.2)
            refusal = self.get_person(bus.POLICE, purpose="benefit.eligibility")
            self.assert_refused(refusal, grpc.StatusCode.PERMISSION_DENIED, "NOT_GRANTED")
            if "chapar-entry" in refusal.trailers:
                return
        self.fail("no refusal has an entry of its own")

    def test_a_right_that_was_not_delegated_to_the_caller_is_refused(self):
        refusal = self.get_person(bus.POLICE, purpose="loan.farm", on_behalf_of="com/agri-bank")
        self.assert_refused(refusal, grpc.StatusCode.PERMISSION_DENIED, "DELEGATION_NOT_GRANTED")

    def test_a_wrong_check_digit_is_refused_with_the_fields_path_and_never_its_value(self):
        wrong = self.citizen[:-1] + str((int(self.citizen[-1]) + 1) % 10)

        refusal = self.get_person(bus.WELFARE, wrong, purpose="benefit.eligibility")

        self.assert_refused(refusal, grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
        violations = refusal.details["BadRequest"].field_violations
        self.assertEqual([violation.field for violation in violations], ["national_id"])
        self.assertTrue(violations[0].description)
        self.assertNotIn(wrong.encode(), refusal.encoded)
        self.assertIsNone(re.search(r"\d{10}", refusal.message))

    def test_a_person_whom_the_register_does_not_hold_is_not_found(self):
        known = {sample["national_id"] for sample in self.bus.demo["sample"]}
        refusal = self.get_person(bus.WELFARE, absent_national_id(known), purpose="benefit.eligibility")
        self.assert_refused(refusal, grpc.StatusCode.NOT_FOUND, "RECORD_NOT_FOUND")

    def test_a_method_that_no_one_published_is_unknown(self):
        channel = self.bus.channel(bus.WELFARE)
        self.addCleanup(channel.close)
        method = channel.unary_unary("/civil.v1.CivilRegistry/DropEverything")
        refusal = call.refused(lambda: method(b"", metadata=call.metadata(), timeout=call.TIMEOUT))
        self.assert_refused(refusal, grpc.StatusCode.UNIMPLEMENTED, "METHOD_UNKNOWN")

    def test_bytes_that_are_no_message_are_refused(self):
        channel = self.bus.channel(bus.WELFARE)
        self.addCleanup(channel.close)
        method = channel.unary_unary("/civil.v1.CivilRegistry/GetPerson")
        metadata = call.metadata(purpose="benefit.eligibility")
        refusal = call.refused(lambda: method(b"\x0a\xff\xff\xff\xff\x7f", metadata=metadata, timeout=call.TIMEOUT))
        self.assert_refused(refusal, grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_MALFORMED")

    def test_a_name_under_the_reserved_prefix_is_refused(self):
        refusal = self.get_person(bus.WELFARE, purpose="benefit.eligibility", chapar_caller="gov/civil-registry/adapter")
        self.assert_refused(refusal, grpc.StatusCode.INVALID_ARGUMENT, "METADATA_RESERVED")

    def test_a_caller_who_reads_persian_is_told_in_persian(self):
        refusal = self.get_person(bus.POLICE, purpose="benefit.eligibility", accept_language="fa")
        localized = refusal.details["LocalizedMessage"]
        self.assertEqual(localized.locale, "fa")
        self.assertRegex(localized.message, "[\u0600-\u06ff]")

    def test_without_a_client_certificate_no_call_is_made(self):
        with self.assertRaises(grpc.RpcError) as raised:
            channel = self.bus.channel(None)
            self.addCleanup(channel.close)
            method = channel.unary_unary("/civil.v1.CivilRegistry/GetPerson")
            method(b"", timeout=call.TIMEOUT)
        self.assertIn(raised.exception.code(), (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED))


def absent_national_id(known):
    """A national id with a right check digit that is not among the known ones; 900 is no prefix of the demo's."""
    for serial in range(1, 1000):
        digits = f"900{serial:06d}"
        remainder = sum(int(digit) * weight for digit, weight in zip(digits, range(10, 1, -1))) % 11
        candidate = digits + str(remainder if remainder < 2 else 11 - remainder)
        if candidate not in known:
            return candidate
    raise AssertionError("unreachable")
