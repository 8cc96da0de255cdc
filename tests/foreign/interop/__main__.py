"""gRPC's interop cases and more, from a foreign client to a foreign server: without the gateway, which proves the two, and
through it. Both ends are gRPC's own Python packages, or speak HTTP/2 frame by frame where those do not let one err.

    python tests/foreign/interop [TEST...]      TEST as for unittest, e.g. test_cases.ThroughTheGateway.test_large_unary

CHAPAR_BIN names the binary. The last line says how many passed; exit 0 only if nothing failed and nothing was skipped.
"""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import world  # noqa: E402 (after the path)

MODULES = ["test_cases", "test_compression", "test_metadata", "test_endings", "test_deadlines", "test_bounds", "test_restarts"]


def main():
    world.make_stubs()
    try:
        suite = unittest.defaultTestLoader.loadTestsFromNames(sys.argv[1:] or MODULES)
        result = unittest.TextTestRunner(verbosity=2).run(suite)
    finally:
        wrong = world.stop()
    for problem in wrong:
        print(f"FAIL: SIGTERM ends a gateway with exit 0: {problem}", file=sys.stderr)
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses) + len(wrong)
    skipped = len(result.skipped) + len(result.expectedFailures)
    passed = result.testsRun - len(result.failures) - len(result.errors) - skipped
    print(f"interop: {passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return 0 if passed > 0 and failed == 0 and skipped == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
