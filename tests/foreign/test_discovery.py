"""What stock tools find: health, and reflection that shows a caller only what it may call."""

import unittest

import grpc
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

import bus
import call

VERSIONS = ["grpc.reflection.v1", "grpc.reflection.v1alpha"]
PROVIDERS = {
    "civil.v1.CivilRegistry",
    "health.v1.InsuranceRegistry",
    "education.v1.EducationRegistry",
    "agriculture.v1.FarmRegistry",
    "banking.v1.AccountRegistry",
}


class Discovery(unittest.TestCase):
    def setUp(self):
        self.bus = bus.started()

    def ask(self, identity, version, **question):
        """One question to the reflection service; the messages of v1 and v1alpha are the same on the wire."""
        channel = self.bus.channel(identity)
        self.addCleanup(channel.close)
        method = channel.stream_stream(
            f"/{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        request = reflection_pb2.ServerReflectionRequest(**question)
        return next(iter(method(iter([request]), timeout=call.TIMEOUT)))

    def services(self, identity, version):
        answer = self.ask(identity, version, list_services="")
        return {service.name for service in answer.list_services_response.service}

    def test_a_caller_with_one_grant_is_shown_that_service_only(self):
        for version in VERSIONS:
            with self.subTest(version):
                self.assertEqual(self.services(bus.WELFARE, version) & PROVIDERS, {"civil.v1.CivilRegistry"})

    def test_a_caller_without_grants_is_shown_no_agencys_service(self):
        for version in VERSIONS:
            with self.subTest(version):
                self.assertEqual(self.services(bus.POLICE, version) & PROVIDERS, set())

    def test_a_caller_with_delegated_rights_is_shown_those_services(self):
        for version in VERSIONS:
            with self.subTest(version):
                self.assertEqual(self.services(bus.COUNTER, version) & PROVIDERS, PROVIDERS)

    def test_a_contract_is_shown_with_its_options_and_its_imports(self):
        # An extension is read by name only if it is known before the file is parsed.
        options = bus.stubs("chapar.contract.v1.options_pb2")
        answer = self.ask(bus.WELFARE, VERSIONS[0], file_containing_symbol="civil.v1.CivilRegistry")
        files = [
            descriptor_pb2.FileDescriptorProto.FromString(encoded)
            for encoded in answer.file_descriptor_response.file_descriptor_proto
        ]
        contract = next(file for file in files if file.package == "civil.v1")
        method = next(method for method in contract.service[0].method if method.name == "GetPerson")
        rules = method.options.Extensions[options.method]
        self.assertEqual(rules.subject, "national_id")

    def test_a_service_that_the_caller_may_not_call_is_not_described(self):
        for version in VERSIONS:
            with self.subTest(version):
                answer = self.ask(bus.WELFARE, version, file_containing_symbol="health.v1.InsuranceRegistry")
                self.assertEqual(answer.error_response.error_code, grpc.StatusCode.NOT_FOUND.value[0], answer)

    def test_the_gateway_is_healthy(self):
        channel = self.bus.channel(bus.POLICE)
        self.addCleanup(channel.close)
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=call.TIMEOUT)
        self.assertEqual(answer.status, health_pb2.HealthCheckResponse.SERVING)
