"""`chapar describe --openapi`: a document that its specification allows, and answers that the document allows."""

import http.client
import json
import ssl
import subprocess
import unittest

from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

import bus

PERSON = "/civil.v1.CivilRegistry/GetPerson"


class OpenApi(unittest.TestCase):
    def setUp(self):
        self.bus = bus.started()

    def document(self, identity, *more):
        command = [bus.BINARY, "describe", "--openapi", "--demo", str(self.bus.dir), "--as", identity, *more]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def call(self, identity, server, path, message, headers):
        keys = self.bus.demo["identities"][identity]
        context = ssl.create_default_context(cafile=str(self.bus.dir / self.bus.demo["ca"]))
        context.load_cert_chain(self.bus.dir / keys["cert"], self.bus.dir / keys["key"])
        connection = http.client.HTTPSConnection(server.removeprefix("https://"), context=context, timeout=10)
        self.addCleanup(connection.close)
        connection.request("POST", path, json.dumps(message), {"content-type": "application/json", **headers})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    @staticmethod
    def faults(document, schema, value):
        """What the document's schema does not allow in a value."""
        whole = {**schema, "components": document["components"]}
        return [fault.message for fault in Draft202012Validator(whole).iter_errors(value)]

    def test_each_identity_gets_a_valid_document_of_its_own_rights(self):
        welfare, counter, police = (self.document(identity) for identity in (bus.WELFARE, bus.COUNTER, bus.POLICE))
        for document in (welfare, counter, police):
            validate(document)
        self.assertEqual(list(welfare["paths"]), [PERSON])
        self.assertNotIn(PERSON, police["paths"])
        self.assertGreater(len(counter["paths"]), 5)
        streams = counter["paths"]["/agriculture.v1.FarmRegistry/ListParcels"]["post"]["responses"]
        self.assertEqual(list(streams), ["200"], "a refused stream is an envelope of an answer")
        members = [
            parameter["schema"]["enum"]
            for path in counter["paths"].values()
            for parameter in path["post"]["parameters"]
            if parameter["name"] == "chapar-on-behalf-of"
        ]
        self.assertTrue(all(len(set(names)) == len(names) for names in members))
        only = self.document(bus.COUNTER, "CivilRegistry")
        self.assertEqual(list(only["paths"]), [path for path in counter["paths"] if "CivilRegistry" in path])
        required = {
            parameter["name"]
            for parameter in only["paths"][PERSON]["post"]["parameters"]
            if parameter["required"]
        }
        self.assertIn("chapar-purpose", required)
        self.assertIn("chapar-on-behalf-of", required)

    def test_a_call_by_the_document_gives_what_the_document_says(self):
        document = self.document(bus.WELFARE)
        operation = document["paths"][PERSON]["post"]
        headers = {
            parameter["name"]: parameter["schema"]["enum"][0]
            for parameter in operation["parameters"]
            if parameter["required"]
        }
        request = {"nationalId": self.bus.person_with("civil")["national_id"]}
        asks = operation["requestBody"]["content"]["application/json"]["schema"]
        gives = operation["responses"]["200"]["content"]["application/json"]["schema"]
        refuses = operation["responses"]["default"]["content"]["application/json"]["schema"]
        server = document["servers"][0]["url"]
        self.assertEqual(self.faults(document, asks, request), [])
        status, person = self.call(bus.WELFARE, server, PERSON, request, headers)
        self.assertEqual((status, self.faults(document, gives, person)), (200, []))
        self.assertEqual(person["nationalId"], request["nationalId"])
        # What the document does not allow, the gateway refuses.
        wrong = {"nationalIdd": request["nationalId"]}
        self.assertNotEqual(self.faults(document, asks, wrong), [])
        status, refusal = self.call(bus.WELFARE, server, PERSON, wrong, headers)
        self.assertEqual((status, self.faults(document, refuses, refusal)), (400, []))
        self.assertEqual(refusal["details"][0]["debug"]["reason"], "REQUEST_MALFORMED")


if __name__ == "__main__":
    unittest.main()
