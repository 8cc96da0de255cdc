"""Connect's own client for Node: the Connect protocol, gRPC-Web and gRPC, with one answer by all of them."""

import os
import subprocess
import unittest

import bus

PROTOCOLS = 7


class Connect(unittest.TestCase):
    def test_every_protocol_gives_the_same_answer(self):
        folder = os.environ["CHAPAR_TEST_NODE"]
        command = ["node", os.path.join(folder, "calls.mjs"), str(bus.started().dir)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(done.stdout.count("ok  "), PROTOCOLS, done.stdout)
