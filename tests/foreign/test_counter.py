"""The counter's page in Chromium, as a clerk opens it."""

import sys
import unittest

import bus

TESTS = 9


class Counter(unittest.TestCase):
    def test_a_clerk_asks_by_keyboard_without_scripts_over_a_poor_line(self):
        done, passed = bus.run_node("counter.mjs", 300)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(passed, TESTS, done.stdout)
        print(done.stdout, file=sys.stderr)
