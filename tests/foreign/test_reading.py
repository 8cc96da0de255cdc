"""What a caller with a right receives: one message, a stream, and the bus's own metadata."""

import unittest

from google.protobuf import unknown_fields

import bus
import call

GRANTED = {"given_name", "family_name", "birth_date"}
KEY = {"national_id"}


class Reading(unittest.TestCase):
    def setUp(self):
        self.bus = bus.started()

    def civil(self, identity):
        self.messages = bus.stubs("civil.v1.civil_pb2")
        channel = self.bus.channel(identity)
        self.addCleanup(channel.close)
        return bus.stubs("civil.v1.civil_pb2_grpc").CivilRegistryStub(channel)

    def get_person(self, identity, national_id, **metadata):
        stub = self.civil(identity)
        request = self.messages.GetPersonRequest(national_id=national_id)
        return stub.GetPerson.with_call(request, metadata=call.metadata(**metadata), timeout=call.TIMEOUT)

    def test_an_agency_receives_the_granted_fields_of_a_record_and_no_other(self):
        citizen = self.bus.person_with("civil")["national_id"]

        person, made = self.get_person(bus.WELFARE, citizen, purpose="benefit.eligibility")

        self.assertEqual(person.national_id, citizen)
        for name in GRANTED:
            self.assertTrue(getattr(person, name), f"{name} is granted, and empty")
        self.assertGreater(person.birth_date.year, 1900)
        present = {field.name for field, _ in person.ListFields()}
        self.assertLessEqual(present, GRANTED | KEY)
        self.assertEqual(len(unknown_fields.UnknownFieldSet(person)), 0)

    def test_the_trailers_name_what_was_disclosed_and_what_was_withheld(self):
        citizen = self.bus.person_with("civil")["national_id"]

        person, made = self.get_person(bus.WELFARE, citizen, purpose="benefit.eligibility")

        disclosed, withheld = call.fields(call.trailers(made)["chapar-fields"])
        self.assertEqual(disclosed, GRANTED | KEY)
        self.assertTrue({path.split(".")[0] for path in withheld} <= set(person.DESCRIPTOR.fields_by_name))
        self.assertIn("life_status", withheld)

    def test_every_answer_names_its_call_and_its_entry_in_the_evidence_log(self):
        citizen = self.bus.person_with("civil")["national_id"]

        _, first = self.get_person(bus.WELFARE, citizen, purpose="benefit.eligibility")
        _, second = self.get_person(bus.WELFARE, citizen, purpose="benefit.eligibility")

        ids = [dict(made.initial_metadata())["chapar-call-id"] for made in (first, second)]
        self.assertNotEqual(*ids)
        self.assertRegex(ids[0], r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$")
        entries = [call.trailers(made)["chapar-entry"].rsplit("/", 1) for made in (first, second)]
        self.assertEqual({origin for origin, _ in entries}, {self.bus.demo["evidence"]["origin"]})
        self.assertLess(int(entries[0][1]), int(entries[1][1]))

    def test_persian_digits_in_a_national_id_find_the_same_person(self):
        citizen = self.bus.person_with("civil")["national_id"]
        persian = citizen.translate(str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹"))

        person, _ = self.get_person(bus.WELFARE, persian, purpose="benefit.eligibility")

        self.assertEqual(person.national_id, citizen)

    def test_a_counter_reads_a_farmers_parcels_as_a_stream_on_behalf_of_the_bank(self):
        messages = bus.stubs("agriculture.v1.agriculture_pb2")
        channel = self.bus.channel(bus.COUNTER)
        self.addCleanup(channel.close)
        stub = bus.stubs("agriculture.v1.agriculture_pb2_grpc").FarmRegistryStub(channel)
        rows = self.stream(stub.ListParcels, messages.ListParcelsRequest, "agriculture")

        self.assertGreater(len(rows), 0, "no sample farmer has a parcel")

    def test_a_counter_reads_a_persons_children_as_a_stream_on_behalf_of_the_bank(self):
        stub = self.civil(bus.COUNTER)

        rows = self.stream(stub.ListChildren, self.messages.ListChildrenRequest, "civil")

        self.assertGreater(len(rows), 0, "no sample citizen has a child")

    def stream(self, method, request, register):
        """Reads `method` for each sample citizen of a register, until one has rows; checks the bus's metadata of each."""
        rows = []
        for sample in self.bus.demo["sample"]:
            if rows or register not in sample["has"]:
                continue
            metadata = call.metadata(purpose="loan.farm", on_behalf_of="com/agri-bank")
            made = method(request(national_id=sample["national_id"]), metadata=metadata, timeout=call.TIMEOUT)
            rows = list(made)
            self.assertIn("chapar-call-id", dict(made.initial_metadata()))
            self.assertIn("chapar-entry", call.trailers(made))
            disclosed, _ = call.fields(call.trailers(made)["chapar-fields"])
            for row in rows:
                self.assertLessEqual({f.name for f, _ in row.ListFields()}, {path.split(".")[0] for path in disclosed})
        return rows
