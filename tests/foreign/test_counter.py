"""The counter's page in Chromium, as a clerk opens it."""

import os
import subprocess
import sys
import unittest

import bus

TESTS = 9


class Counter(unittest.TestCase):
    def test_a_clerk_asks_by_keyboard_without_scripts_over_a_poor_line(self):
        folder = os.environ["CHAPAR_TEST_NODE"]
        command = ["node", os.path.join(folder, "counter.mjs"), str(bus.started().dir)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(done.stdout.count("ok  "), TESTS, done.stdout)
        print(done.stdout, file=sys.stderr)
