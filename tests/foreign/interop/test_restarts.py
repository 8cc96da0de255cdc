"""A gateway is replaced by a second process on the same socket while gRPC's default client keeps calling, several calls at once on
each channel: none may fail. Nothing is retried by the application."""

import os
import socket
import threading
import unittest

import grpc

import world
from grpc.testing import messages_pb2, test_pb2_grpc

RESTARTS = int(os.environ.get("CHAPAR_TEST_RESTARTS", "5"))
CHANNELS, CALLERS = 4, 16
BETWEEN = 200  # calls between two steps
WITHIN = 60.0


class Restarts(unittest.TestCase):
    def test_a_gateway_is_replaced_without_a_failed_call(self):
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.addCleanup(listener.close)
        upstream = world.server()[2]
        old = world.start_gateway("restart-0", upstream, listener)
        address = "127.0.0.1:%d" % listener.getsockname()[1]
        # As gRPC comes: what it knows no server has touched, it sends again by itself.
        channels = [world.channel(address, **{"grpc.enable_retries": 1}) for _ in range(CHANNELS)]
        stop, counted, answered, failed = threading.Event(), threading.Condition(), [0], []

        def call(stub):
            while not stop.is_set():
                try:
                    stub.UnaryCall(messages_pb2.SimpleRequest(response_size=100), timeout=20)
                except grpc.RpcError as error:
                    failed.append((error.code(), error.details()))
                with counted:
                    answered[0] += 1
                    counted.notify_all()

        def more():
            with counted:
                wanted = answered[0] + BETWEEN
                self.assertTrue(counted.wait_for(lambda: answered[0] >= wanted, WITHIN), f"calls go on: {failed}")

        stubs = [test_pb2_grpc.TestServiceStub(channel) for channel in channels]
        callers = [threading.Thread(target=call, args=(stubs[number % CHANNELS],)) for number in range(CALLERS)]
        for caller in callers:
            caller.start()
        try:
            for number in range(1, RESTARTS + 1):
                new = world.start_gateway(f"restart-{number}", upstream, listener)
                more()
                world.end_gateway(self, old)
                more()
                old = new
        finally:
            stop.set()
            for caller in callers:
                caller.join()
            for channel in channels:
                channel.close()
        print(f"{RESTARTS} restarts: {len(failed)} of {answered[0]} calls failed", flush=True)
        self.assertEqual(failed, [])
