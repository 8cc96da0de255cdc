"""The operator's console in Chromium, as an operator opens it."""

import subprocess
import sys
import unittest

import bus

TESTS = 5


class Console(unittest.TestCase):
    def test_an_operator_finds_a_call_and_what_was_refused_by_keyboard_without_scripts(self):
        command = [bus.BINARY, "console", "--listen", "127.0.0.1:0", "--demo", str(bus.started().dir)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as console:
            try:
                done, passed = bus.run_node("console.mjs", 300, console.stdout.readline().strip())
            finally:
                console.terminate()
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(passed, TESTS, done.stdout)
        self.assertEqual(console.returncode, 0, "a console that is told to stop ends in order")
        print(done.stdout, file=sys.stderr)
