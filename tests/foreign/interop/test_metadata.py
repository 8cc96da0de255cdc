"""Metadata through the gateway: what the registry names passes both ways, byte for byte; who is calling is told by the gateway
alone, whatever names a caller tries."""

import base64
import unittest

import gateway
import wire
import world
from grpc.testing import messages_pb2, test_pb2_grpc

TIMEOUT = 30.0
UNARY = "grpc.testing.TestService/UnaryCall"
PASSED = [
    ("x-many", "one"),
    ("x-many", "two, three"),
    ("x-empty", ""),
    ("x-many-bin", b"\x00\xff\xfe"),
    ("x-many-bin", b""),
    ("x-many-bin", bytes(range(256))),
]
# What a server, a library or a proxy somewhere may take for the caller's identity or address.
IDENTITY = """
    authorization proxy-authorization cookie set-cookie forwarded via from
    x-forwarded-for x-forwarded-by x-forwarded-host x-forwarded-proto x-forwarded-user x-forwarded-email x-forwarded-groups
    x-forwarded-client-cert x-forwarded-preferred-username x-forwarded-access-token x-forwarded-ssl-client-cert
    x-real-ip x-client-ip x-cluster-client-ip true-client-ip cf-connecting-ip fastly-client-ip x-originating-ip x-remote-ip
    x-remote-addr x-remote-user remote-user x-user x-user-id x-username x-auth-user x-auth-request-user x-auth-request-email
    x-auth-token x-authenticated-user x-authenticated-userid x-webauth-user x-consumer-id x-consumer-username
    x-client-cert x-client-certificate x-client-cert-chain x-client-dn x-client-verify x-client-san client-cert client-cert-chain
    x-ssl-client-cert x-ssl-client-dn x-ssl-client-s-dn x-ssl-client-verify ssl-client-cert ssl-client-s-dn ssl-client-verify
    x-tls-client-cert x-arr-clientcert x-amzn-mtls-clientcert x-amzn-oidc-identity x-goog-authenticated-user-email
    x-goog-iap-jwt-assertion x-ms-client-principal x-ms-client-principal-name x-spiffe-id x-jwt-assertion x-api-key
    x-envoy-external-address l5d-client-id x-road-client x-xroad-client x-id-token
""".split()
RESERVED = [
    *("chapar-caller", "chapar-fields", "chapar-rows", "chapar-call-id", "chapar-identity", "chapar-subsystem"),
    *("chapar_caller", "chapar-caller-bin", "chapar_fields", "chapar-entry"),
]
FORGED = "gov/police/traffic"


class Metadata(unittest.TestCase):
    def setUp(self):
        _, self.service, _ = world.server()
        channel = world.channel(world.gateway().address)
        self.addCleanup(channel.close)
        self.stub = test_pb2_grpc.TestServiceStub(channel)

    def test_repeated_empty_and_binary_values_pass_both_ways_in_headers_and_trailers(self):
        status = messages_pb2.EchoStatus(message="repeat metadata")
        request = messages_pb2.SimpleRequest(response_status=status)
        call = self.stub.UnaryCall.with_call(request, metadata=PASSED, timeout=TIMEOUT)[1]
        names = {name for name, _ in PASSED}
        came = [pair for pair in self.service.calls[-1].metadata if pair[0] in names]
        for where, pairs in (("server", came), ("headers", call.initial_metadata()), ("trailers", call.trailing_metadata())):
            for name in names:
                sent = [value for key, value in PASSED if key == name]
                found = [value for key, value in map(tuple, pairs) if key == name]
                self.assertEqual(found, sent, f"{name} in {where}")
        self.assertIn(("x-end", "1"), [tuple(pair) for pair in call.trailing_metadata()])

    def test_metadata_that_the_registry_does_not_name_stays_behind(self):
        self.stub.UnaryCall(messages_pb2.SimpleRequest(), metadata=[("x-other", "1"), ("x-many", "1")], timeout=TIMEOUT)
        names = [name for name, _ in self.service.calls[-1].metadata]
        self.assertIn("x-many", names)
        self.assertNotIn("x-other", names)


class Identity(unittest.TestCase):
    """Frame by frame, since gRPC's client keeps some of these names to itself."""

    def setUp(self):
        self.wired = world.wired()
        self.wired.answer = lambda *_: wire.Reply(body=wire.frame(messages_pb2.SimpleResponse().SerializeToString()))

    def ask(self, *metadata):
        client = self.wired.client()
        self.addCleanup(client.close)
        return client.call(UNARY, wire.frame(b""), metadata)

    def test_no_name_that_tells_an_identity_reaches_the_server(self):
        self.assertGreaterEqual(len(set(IDENTITY)), 60)
        answer = self.ask(*((name, FORGED) for name in IDENTITY), *((f"{name}-bin", "AAEC") for name in IDENTITY[:20]))
        self.assertEqual(answer.status, 0)
        came = self.wired.server.seen[-1]
        self.assertEqual([name for name, _ in came if name.removesuffix("-bin") in IDENTITY], [])
        self.assertNotIn(FORGED, [value for _, value in came])

    def test_the_server_is_told_who_called_by_the_gateway(self):
        self.assertEqual(self.ask().status, 0)
        callers = [value for name, value in self.wired.server.seen[-1] if name == "chapar-caller"]
        self.assertEqual(callers, [gateway.CALLER])

    def test_a_reserved_name_is_refused_before_anything_reaches_the_server(self):
        for name in RESERVED:
            with self.subTest(name):
                seen = len(self.wired.server.seen)
                answer = self.ask((name, base64.b64encode(FORGED.encode()).decode() if name.endswith("-bin") else FORGED))
                self.assertEqual(answer.status, 3)
                self.assertEqual(len(self.wired.server.seen), seen)

    def test_no_header_of_the_server_passes_for_the_buss_own(self):
        body = wire.frame(messages_pb2.SimpleResponse().SerializeToString())
        forged = [("chapar-entry", "forged/1"), ("chapar-call-id", "forged"), ("x-other", "1"), ("chapar-fields", "forged")]
        self.wired.answer = lambda *_: wire.Reply(headers=forged, body=body, trailers=[("grpc-status", "0"), *forged])
        answer = self.ask()
        self.assertEqual(answer.status, 0)
        for name, value in forged:
            self.assertNotIn(value.encode(), answer.values(name.encode()))
        self.assertTrue(answer.values(b"chapar-entry"), "the bus's own is there")
