"""A running `chapar demo` as any agency's developer would meet it: its binary, its folder, and gRPC's own tools.

Owns starting and stopping the demo, the stubs that protoc makes of the published contracts, and channels over mutual TLS.
Knows nothing of Chapar's code.
"""

import functools
import importlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import grpc
from grpc_tools import protoc

BINARY = os.environ["CHAPAR_BIN"]
PEOPLE = os.environ.get("CHAPAR_TEST_PEOPLE", "500")

WELFARE = "gov/welfare/benefits"
POLICE = "gov/police/traffic"
COUNTER = "office/khorramabad-12/counter"

READY_WITHIN = 60.0
STOPPED_WITHIN = 20.0


class Bus:
    """One demo in a folder of its own. `started()` gives the one that all tests share."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="chapar-foreign-"))
        self.dir = self.folder / "demo"
        self.stubs = self.folder / "stubs"
        self.out = self.folder / "demo.out"
        self.log = self.folder / "demo.log"
        # All log lines that the bus can write, for the leak test to look at.
        command = [BINARY, "demo", "--dir", str(self.dir), "--people", PEOPLE, "--log", "debug"]
        with open(self.out, "wb") as out, open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=log)
        try:
            self.demo = self._wait_for_demo_json()
            self._wait_for_the_end_of_the_story()
            self._make_stubs()
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def _wait_for_demo_json(self):
        return self._wait("demo.json", lambda: self._read_json(self.dir / "demo.json"))

    def _wait_for_the_end_of_the_story(self):
        # The demo tells its story first, and kills an adapter in it; it ends by printing how to try it oneself.
        self._wait("the end of the story", lambda: "Ctrl-C" in self.out.read_text() + self.log.read_text())
        # Its burst has spent this grant's calls.
        self.refill("welfare-getperson")

    def refill(self, grant):
        """Waits until the whole burst of a grant may be spent again."""
        limit = self.demo["limits"][grant]
        time.sleep(limit["burst"] / limit["rate"] + 0.2)

    def _wait(self, what, ready):
        deadline = time.monotonic() + READY_WITHIN
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"the demo ended with {self.process.returncode} before {what}:\n{self.said()}")
            found = ready()
            if found:
                return found
            time.sleep(0.05)
        raise AssertionError(f"no sign of {what} within {READY_WITHIN:.0f} s:\n{self.said()}")

    @staticmethod
    def _read_json(path):
        return json.loads(path.read_text()) if path.exists() else None

    def said(self):
        """What the demo printed, for a failure's message."""
        return self.out.read_text() + self.log.read_text()

    def _make_stubs(self):
        contracts = self.dir / self.demo["contracts"]
        # `google/` comes with googleapis-common-protos and protobuf.
        protos = [str(p.relative_to(contracts)) for p in sorted(contracts.rglob("*.proto"))]
        protos = [p for p in protos if not p.startswith("google/")]
        self.stubs.mkdir()
        include = pathlib.Path(protoc.__file__).parent / "_proto"
        code = protoc.main(
            ["protoc", f"-I{contracts}", f"-I{include}", f"--python_out={self.stubs}", f"--grpc_python_out={self.stubs}", *protos]
        )
        assert code == 0, f"protoc does not accept the published contracts: {protos}"
        sys.path.insert(0, str(self.stubs))
        importlib.invalidate_caches()

    def bytes_of(self, path):
        """The bytes of a file that demo.json names."""
        return (self.dir / path).read_bytes()

    def channel(self, identity):
        """A channel to the gateway as `identity`, over mutual TLS; `None` comes without a certificate."""
        cert = key = None
        if identity is not None:
            files = self.demo["identities"][identity]
            cert, key = self.bytes_of(files["cert"]), self.bytes_of(files["key"])
        credentials = grpc.ssl_channel_credentials(self.bytes_of(self.demo["ca"]), key, cert)
        options = [
            ("grpc.ssl_target_name_override", self.demo["server_name"]),
            # Each test sees its own connection, not one shared in the process.
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_retries", 0),
        ]
        return grpc.secure_channel(self.demo["gateway"], credentials, options)

    def person_with(self, *registers):
        """A sample citizen who is in all these registers."""
        for sample in self.demo["sample"]:
            if set(registers) <= set(sample["has"]):
                return sample
        raise AssertionError(f"no sample citizen is in {registers}")

    def stop(self):
        """Ctrl-C. Returns the exit code, and removes the folder unless CHAPAR_TEST_KEEP is set."""
        self.process.send_signal(signal.SIGINT)
        try:
            code = self.process.wait(STOPPED_WITHIN)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            code = None
        if os.environ.get("CHAPAR_TEST_KEEP"):
            print(f"kept: {self.folder}", file=sys.stderr)
        else:
            shutil.rmtree(self.folder)
        return code


def run_node(script, timeout, *more):
    """Runs one of `node/`'s scripts on this run's demo; its result, and the number of lines that say ok."""
    command = ["node", os.path.join(os.environ["CHAPAR_TEST_NODE"], script), str(started().dir), *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    return done, done.stdout.count("ok  ")


@functools.cache
def _attempt():
    try:
        return Bus(), None
    except Exception as error:  # told by every test that needs the bus, and tried once
        return None, error


def started():
    """The bus of this run, started by the first test that needs it."""
    running, error = _attempt()
    if running is None:
        raise AssertionError("the bus did not start") from error
    return running


def stop():
    """Stops the bus of this run. Its exit code, or 0 if it was never asked for; None if it had to be killed."""
    running = _attempt()[0] if _attempt.cache_info().currsize else None
    return running.stop() if running else 0


def stubs(name):
    """The generated module `name`, e.g. `civil.v1.civil_pb2`."""
    started()
    return importlib.import_module(name)
