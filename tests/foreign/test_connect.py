"""Connect's own client for Node: the Connect protocol, gRPC-Web and gRPC, with one answer by all of them."""

import unittest

import bus

PROTOCOLS = 7


class Connect(unittest.TestCase):
    def test_every_protocol_gives_the_same_answer(self):
        done, passed = bus.run_node("calls.mjs", 120)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(passed, PROTOCOLS, done.stdout)
