"""The foreign client: gRPC's own Python packages call a running `chapar demo`, with stubs made from its contracts.

    python tests/foreign [TEST...]      TEST as for unittest, e.g. test_refusals.Refusals

CHAPAR_BIN names the binary, CHAPAR_TEST_NODE the folder with `node/` and its packages (tests/run.sh sets both). The last line says how many passed; exit 0 only if nothing failed and nothing was skipped.
"""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import bus  # noqa: E402 (after the path)

# In this order: the leak test looks at what all the others left behind.
MODULES = [
    "test_reading",
    "test_json",
    "test_connect",
    "test_openapi",
    "test_inquiry",
    "test_counter",
    "test_console",
    "test_refusals",
    "test_limits",
    "test_discovery",
    "test_evidence",
    "test_leaks",
]


def main():
    # A file that is not on the list would never run.
    there = {file.stem for file in pathlib.Path(__file__).parent.glob("test_*.py")}
    if there != set(MODULES):
        sys.exit(f"MODULES of {__file__} has to name each file of tests: {', '.join(sorted(there ^ set(MODULES)))}")
    suite = unittest.defaultTestLoader.loadTestsFromNames(sys.argv[1:] or MODULES)
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    skipped = len(result.skipped) + len(result.expectedFailures)
    passed = result.testsRun - failed - skipped
    code = bus.stop()
    if code != 0:
        print(f"FAIL: Ctrl-C ends the demo with exit 0: it gave {code}", file=sys.stderr)
        failed += 1
    print(f"foreign: {passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return 0 if passed > 0 and failed == 0 and skipped == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
