"""A gateway as a process of the built binary, in front of one server: its keys, registry and settings, its admin pages and its
memory. Knows nothing of Chapar's code; the formats are those of the reference."""

import base64
import hashlib
import json
import os
import pathlib
import re
import secrets
import signal
import subprocess
import time
import urllib.request

import pki

BINARY = os.environ["CHAPAR_BIN"]
CONTRACT = pathlib.Path(__file__).parent / "proto" / "grpc"
ORIGIN = "interop.lorestan.example/evidence"

CALLER = "gov/client/interop"
NARROW = "gov/client/narrow"
PROVIDER = "gov/server/interop"
GATEWAY = "bus/lorestan/gateway"

REQUEST = ["x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin", "x-many", "x-empty", "x-many-bin"]
RESPONSE = REQUEST + ["x-end"]

ALL = {
    "EmptyCall": [],
    "UnaryCall": ["payload.type", "payload.body", "username"],
    "StreamingOutputCall": ["payload.type", "payload.body"],
    "StreamingInputCall": ["aggregated_payload_size"],
    "FullDuplexCall": ["payload.type", "payload.body"],
    "UnimplementedCall": [],
}
# Someone who may not see the user's name, so that answers are taken apart.
LESS = {"UnaryCall": ["payload.type", "payload.body"]}

HAND_OVER = 'exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$0" "$@"'

READY_WITHIN = 30.0
STOPPED_WITHIN = 20.0


class Gateway:
    """One process. `address` is where calls are taken: on a port of its own, or on a socket that it inherits as `systemd` hands
    one over, and shares with others."""

    def __init__(self, folder, authority, upstream, socket=None):
        self.folder = folder
        folder.mkdir()
        self._registry(authority, upstream)
        self._keys()
        cert, key = authority.issue(GATEWAY)
        (folder / "gateway.toml").write_text(
            "[gateway]\n"
            'listen = "127.0.0.1:0"\nadmin = "127.0.0.1:0"\n'
            f'identity = {{ cert = "{cert}", key = "{key}", trust = "{authority.cert}" }}\n'
            f'registry = "registry"\ncontracts = ["{CONTRACT}"]\ndrain = "2s"\n'
            f'[evidence]\npath = "evidence"\norigin = "{ORIGIN}"\nsigning_key = "evidence.key"\nperiod_key = "period.key"\n'
        )
        self.log = folder / "gateway.log"
        with open(self.log, "wb") as log:
            command = [BINARY, "gateway", "--config", str(folder / "gateway.toml"), "--log-format", "json"]
            if socket is not None:
                # Standard input becomes descriptor 3, named by the process's own number.
                command = ["sh", "-c", HAND_OVER, *command]
            self.process = subprocess.Popen(command, stdin=socket or subprocess.DEVNULL, stdout=log, stderr=log)
        self.address, self.admin = self._wait_until_it_serves()

    def _registry(self, authority, upstream):
        checked = subprocess.run([BINARY, "contract", "check", str(CONTRACT)], check=True, capture_output=True, text=True)
        digest = checked.stdout.split()[0]
        issuers = f'issuers = ["{authority.issuer()}"]\n'
        member = '[member]\nname = { fa = "آزمون", en = "Test" }\n' + issuers
        service = (
            '[[subsystem]]\nid = "interop"\n[[service]]\ncontract = "grpc.testing.TestService"\n'
            f'digest = "{digest}"\nadapters = ["spiffe://{pki.DOMAIN}/{PROVIDER}"]\n'
            f'endpoints = ["https://localhost:{upstream}"]\nserver = "grpc"\n'
            f"metadata = {{ request = {json.dumps(REQUEST)}, response = {json.dumps(RESPONSE)} }}\n"
        )
        grants = "".join(
            f'[[grant]]\nid = "{to.split("/")[-1]}-{method.lower()}"\nto = "{to}"\nmethod = "grpc.testing.TestService/{method}"\n'
            f"fields = {json.dumps(fields)}\nvalid = {{ from = 2020-01-01, until = 2098-12-31 }}\nbasis = \"Test decree 1\"\n"
            for to, methods in ((CALLER, ALL), (NARROW, LESS))
            for method, fields in methods.items()
        )
        for path, text in {
            "bus.toml": f'[bus]\ntrust_domain = "{pki.DOMAIN}"\n',
            "bus/lorestan.toml": member + '[[subsystem]]\nid = "gateway"\n',
            "gov/client.toml": member + '[[subsystem]]\nid = "interop"\n[[subsystem]]\nid = "narrow"\n',
            "gov/server.toml": member + service + grants,
        }.items():
            file = self.folder / "registry" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    def _keys(self):
        """The log's signing key as a C2SP signed-note private key, and the period's key."""
        made = subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-outform", "DER"], check=True, capture_output=True)
        public = subprocess.run(
            ["openssl", "pkey", "-inform", "DER", "-pubout", "-outform", "DER"], check=True, capture_output=True, input=made.stdout
        )
        seed, public = made.stdout[-32:], public.stdout[-32:]
        hash = hashlib.sha256(f"{ORIGIN}\n".encode() + b"\x01" + public).hexdigest()[:8]
        key = base64.b64encode(b"\x01" + seed).decode()
        (self.folder / "evidence.key").write_text(f"PRIVATE+KEY+{ORIGIN}+{hash}+{key}\n")
        (self.folder / "period.key").write_text(secrets.token_hex(32) + "\n")
        for name in ("evidence.key", "period.key"):
            (self.folder / name).chmod(0o600)

    def _wait_until_it_serves(self):
        deadline = time.monotonic() + READY_WITHIN
        while time.monotonic() < deadline:
            for line in self.log.read_text().splitlines():
                if '"gateway serving"' in line:
                    return tuple(re.search(rf'"{name}":"([^"]+)"', line)[1] for name in ("address", "admin"))
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        self.process.kill()
        raise AssertionError(f"the gateway does not serve:\n{self.log.read_text()}")

    def page(self, path):
        """A page of the admin listener."""
        with urllib.request.urlopen(f"http://{self.admin}/{path}", timeout=10) as page:
            return page.read().decode()

    def resident(self):
        """The process's resident memory in bytes."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024

    def stop(self):
        """SIGTERM. The exit code; None if it had to be killed."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOPPED_WITHIN)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None
