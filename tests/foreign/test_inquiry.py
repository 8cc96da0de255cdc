"""A whole case in one call: by gRPC with types from reflection, and by JSON over HTTP/1.1."""

import http.client
import json
import ssl
import struct
import unittest

from google.protobuf import descriptor_pb2, descriptor_pool, duration_pb2, message_factory, struct_pb2
from grpc_reflection.v1alpha import reflection_pb2

import bus
import call

SERVICE = "chapar.inquiry.v1.Inquiry"
METADATA = [("chapar-case", "1404-771"), ("chapar-clerk", "z.karimi")]
PARTS = {"person", "insurance", "degrees", "farmer", "parcels", "account", "loans"}


class Inquiry(unittest.TestCase):
    def setUp(self):
        self.bus = bus.started()
        self.citizen = next(person for person in self.bus.demo["sample"] if len(person["has"]) == 5 and person.get("iban"))

    def types(self, channel):
        """The service's messages, as the gateway's reflection describes them."""
        reflect = channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE)
        answer = next(iter(reflect(iter([request]), timeout=call.TIMEOUT)))
        # What it imports of protobuf's own is in every client.
        wellknown = [module.DESCRIPTOR.serialized_pb for module in (duration_pb2, struct_pb2)]
        files = [descriptor_pb2.FileDescriptorProto.FromString(file) for file in [*wellknown, *answer.file_descriptor_response.file_descriptor_proto]]
        pool = descriptor_pool.DescriptorPool()
        # A file is added after those that it imports.
        while files:
            known = next(file for file in files if not set(file.dependency) & {other.name for other in files})
            pool.Add(known)
            files.remove(known)
        return lambda name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"chapar.inquiry.v1.{name}"))

    def test_the_procedure_is_answered_part_by_part_in_one_stream(self):
        channel = self.bus.channel(bus.COUNTER)
        self.addCleanup(channel.close)
        types = self.types(channel)
        ask = channel.unary_stream(
            f"/{SERVICE}/AskProcedure",
            request_serializer=types("AskProcedureRequest").SerializeToString,
            response_deserializer=types("PartAnswer").FromString,
        )
        request = types("AskProcedureRequest")(
            procedure="farm-loan", subject=self.citizen["national_id"], inputs={"iban": self.citizen["iban"]}
        )
        answers = list(ask(request, metadata=METADATA, timeout=call.TIMEOUT))
        ended = {answer.id: answer.end for answer in answers if answer.HasField("end")}
        self.assertEqual(set(ended), PARTS)
        for part, end in ended.items():
            self.assertFalse(end.HasField("refusal"), f"{part}: {end}")
            self.assertIn("/evidence/", end.entry)
        self.assertEqual(len({end.entry for end in ended.values()}), len(PARTS), "each part has a record of its own")
        self.assertTrue(any(answer.id == "parcels" and answer.message for answer in answers))

    def test_the_same_in_json_over_http_1_1(self):
        keys = self.bus.demo["identities"][bus.COUNTER]
        context = ssl.create_default_context(cafile=str(self.bus.dir / self.bus.demo["ca"]))
        context.load_cert_chain(self.bus.dir / keys["cert"], self.bus.dir / keys["key"])
        host, port = self.bus.demo["gateway"].rsplit(":", 1)
        connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=10)
        self.addCleanup(connection.close)
        request = {
            "procedure": "farm-loan",
            "subject": self.citizen["national_id"],
            "inputs": {"iban": self.citizen["iban"]},
        }
        body = json.dumps(request).encode()
        connection.request(
            "POST",
            f"/{SERVICE}/AskProcedure",
            struct.pack(">BI", 0, len(body)) + body,
            {"content-type": "application/connect+json", **dict(METADATA)},
        )
        rest = connection.getresponse().read()
        answers = []
        flags = 0
        while rest:
            flags, length = struct.unpack(">BI", rest[:5])
            answers.append(json.loads(rest[5 : 5 + length]))
            rest = rest[5 + length :]
        self.assertEqual((flags, answers.pop().get("error")), (2, None), "the last has the end")
        ended = {answer["id"]: answer["end"] for answer in answers if "end" in answer}
        self.assertEqual(set(ended), PARTS)
        person = next(answer for answer in answers if answer["id"] == "person")
        self.assertEqual(person["json"]["nationalId"], self.citizen["national_id"])
        self.assertIn("marital_status", person["end"]["withheld"])


if __name__ == "__main__":
    unittest.main()
