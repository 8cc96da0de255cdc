"""Nothing that outlives a call holds a citizen's data: not logs, metrics, traces or evidence."""

import pathlib
import unittest
import urllib.request

import bus
import call

ADMIN_PAGES = ["metrics", "traces?limit=100000"]


class Leaks(unittest.TestCase):
    def setUp(self):
        self.bus = bus.started()
        sample = self.bus.demo["sample"]
        self.values = {value for person in sample for value in (person["national_id"], person.get("iban")) if value}
        self.assertGreater(len(self.values), 0)

    def found_in(self, content):
        """How many of the sample's values are in `content`: as they are, with Persian digits, or in hexadecimal."""
        found = 0
        for value in self.values:
            persian = value.translate(str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹")).encode()
            found += any(needle in content for needle in (value.encode(), persian, value.encode().hex().encode()))
        return found

    def assert_holds_none(self, where, content):
        self.assertEqual(self.found_in(content), 0, f"{where} holds a sample citizen's data")

    def test_the_search_finds_what_is_there(self):
        databases = [path.read_bytes() for path in pathlib.Path(self.bus.dir, "databases").iterdir() if path.is_file()]
        self.assertEqual(self.found_in(b"".join(databases)), len(self.values))

    def test_a_citizen_who_was_asked_for_is_nowhere_in_logs_metrics_traces_or_evidence(self):
        self.ask_for_everyone()

        log = self.bus.log.read_bytes()
        self.assertGreater(len(log), 1000, "nothing was logged, so the log's silence says nothing")
        self.assert_holds_none("the log", log)
        for page in ADMIN_PAGES:
            with urllib.request.urlopen(f"{self.bus.demo['admin']}/{page}", timeout=10) as answer:
                content = answer.read()
            self.assertGreater(len(content), 200, f"/{page} is empty, so its silence says nothing")
            self.assert_holds_none(f"/{page}", content)
        evidence = [path for path in pathlib.Path(self.bus.dir, self.bus.demo["evidence"]["path"]).rglob("*") if path.is_file()]
        self.assertGreater(sum(path.stat().st_size for path in evidence), 1000, "no evidence to look at")
        for path in evidence:
            self.assert_holds_none(path.name, path.read_bytes())

    def ask_for_everyone(self):
        """Answered and refused calls for every sample citizen, so that there is something to leak."""
        channel = self.bus.channel(bus.COUNTER)
        self.addCleanup(channel.close)
        method = bus.stubs("civil.v1.civil_pb2_grpc").CivilRegistryStub(channel).GetPerson
        request = bus.stubs("civil.v1.civil_pb2").GetPersonRequest
        answered = 0
        for person in self.bus.demo["sample"]:
            for purpose in ("loan.farm", None):
                metadata = call.metadata(purpose=purpose, on_behalf_of="com/agri-bank")
                made = method.future(request(national_id=person["national_id"]), metadata=metadata, timeout=call.TIMEOUT)
                answered += made.exception() is None
        self.assertGreater(answered, 0, "no call was answered, so there was nothing to leak")
