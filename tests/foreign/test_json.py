"""A vendor without gRPC: JSON over HTTPS by Python's own standard library, which speaks HTTP/1.1."""

import http.client
import json
import ssl
import unittest

import bus

PERSON = "/civil.v1.CivilRegistry/GetPerson"


class Json(unittest.TestCase):
    def setUp(self):
        self.bus = bus.started()
        self.citizen = self.bus.person_with("civil")["national_id"]

    def connect(self, identity):
        keys = self.bus.demo["identities"][identity]
        context = ssl.create_default_context(cafile=str(self.bus.dir / self.bus.demo["ca"]))
        context.load_cert_chain(self.bus.dir / keys["cert"], self.bus.dir / keys["key"])
        host, port = self.bus.demo["gateway"].rsplit(":", 1)
        # The demo's certificate names the address, so no name has to be told apart from it.
        self.assertEqual(host, "127.0.0.1")
        connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=10)
        self.addCleanup(connection.close)
        return connection

    def post(self, connection, path, message, **headers):
        body = message if isinstance(message, str) else json.dumps(message)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("POST", path, body, {"content-type": "application/json", **names})
        answer = connection.getresponse()
        return answer, json.loads(answer.read())

    def test_calls_follow_each_other_on_one_connection(self):
        connection = self.connect(bus.WELFARE)
        for _ in range(3):
            answer, person = self.post(
                connection, PERSON, {"nationalId": self.citizen}, chapar_purpose="benefit.eligibility"
            )
            self.assertEqual((answer.status, person["nationalId"]), (200, self.citizen))
            self.assertIn("given_name", answer.headers["trailer-chapar-fields"])
            self.assertIn("/evidence/", answer.headers["trailer-chapar-entry"])

    def test_a_refusal_is_told_and_the_connection_goes_on(self):
        connection = self.connect(bus.POLICE)
        for message, reason, status in (
            ({"nationalId": self.citizen}, "NOT_GRANTED", 403),
            ({"national": self.citizen}, "NOT_GRANTED", 403),
        ):
            answer, error = self.post(connection, PERSON, message, chapar_purpose="benefit.eligibility")
            self.assertEqual((answer.status, self.reason(error)), (status, reason))
            self.assertNotIn(self.citizen, json.dumps(error))
        answer, me = self.post(connection, "/chapar.meta.v1.Meta/WhoAmI", {})
        self.assertEqual((answer.status, me["member"]), (200, "gov/police"))

    def test_what_is_no_message_names_the_member(self):
        answer, error = self.post(
            self.connect(bus.WELFARE), PERSON, {"nationalID": self.citizen}, chapar_purpose="benefit.eligibility"
        )
        self.assertEqual((answer.status, self.reason(error)), (400, "REQUEST_MALFORMED"))
        self.assertIn("`nationalID` is no field", error["message"])
        self.assertNotIn(self.citizen, json.dumps(error))

    @staticmethod
    def reason(error):
        infos = [detail for detail in error["details"] if detail["type"] == "google.rpc.ErrorInfo"]
        return infos[0]["debug"]["reason"]
