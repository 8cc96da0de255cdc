"""What all tests of a run share: the stubs, one authority, one server, and one gateway in front of it; made when first asked
for, and taken down by `stop()`."""

import functools
import os
import pathlib
import shutil
import sys
import tempfile

import grpc
from grpc_tools import protoc

import pki

HERE = pathlib.Path(__file__).parent
PROTOS = HERE / "proto"
CHAPAR = HERE.parents[2] / "proto"

FOLDER = pathlib.Path(tempfile.mkdtemp(prefix="chapar-interop-"))
_running = []


def make_stubs():
    """Stubs of the contract. `grpc` is a package already, so that `grpc.testing` is added to where it looks."""
    stubs = FOLDER / "stubs"
    stubs.mkdir()
    include = pathlib.Path(protoc.__file__).parent / "_proto"
    protos = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto")) + ["chapar/contract/v1/options.proto"]
    arguments = [f"-I{PROTOS}", f"-I{CHAPAR}", f"-I{include}", f"--python_out={stubs}", f"--grpc_python_out={stubs}"]
    assert protoc.main(["protoc", *arguments, *protos]) == 0, "protoc does not accept the contract"
    sys.path.insert(0, str(stubs))
    grpc.__path__.append(str(stubs / "grpc"))


@functools.cache
def authority():
    return pki.Authority(FOLDER / "pki")


@functools.cache
def server():
    """gRPC's interop server on grpcio: the server, its service, and its port."""
    import server

    return server.serve(authority(), gateway_module().PROVIDER)


def gateway_module():
    import gateway

    return gateway


@functools.cache
def gateway():
    """The gateway in front of that server."""
    return start_gateway("gateway", server()[2])


def start_gateway(name, upstream, socket=None):
    """A gateway of its own in front of the server at that port."""
    started = gateway_module().Gateway(FOLDER / name, authority(), upstream, socket)
    _running.append(started)
    return started


@functools.cache
def identity(subsystem):
    """The paths of a subsystem's certificate and key."""
    return authority().issue(subsystem)


def channel(address, subsystem=None, **options):
    """A channel as `subsystem`, over mutual TLS, with gRPC's defaults but for retries and the pool of connections."""
    cert, key = identity(subsystem or gateway_module().CALLER)
    credentials = grpc.ssl_channel_credentials(authority().cert.read_bytes(), key.read_bytes(), cert.read_bytes())
    plain = {"grpc.ssl_target_name_override": "localhost", "grpc.use_local_subchannel_pool": 1, "grpc.enable_retries": 0}
    return grpc.secure_channel(address, credentials, list({**plain, **options}.items()))


def end_gateway(test, running):
    """SIGTERM, and the exit in order that must follow."""
    _running.remove(running)
    test.assertEqual(running.stop(), 0)


class Wire:
    """The server and the gateway of the tests that speak HTTP/2 frame by frame. A test sets what the server answers."""

    def __init__(self):
        import wire

        gateway = gateway_module()
        self.answer = None
        self.server = wire.Server(authority(), identity(gateway.PROVIDER), lambda *call: self.answer(*call))
        self.gateway = start_gateway("wire-gateway", self.server.port)

    def client(self, address=None, subsystem=None):
        """A connection to the gateway, or to another address."""
        import wire

        identified = identity(subsystem or gateway_module().CALLER)
        return wire.Client(address or self.gateway.address, authority(), identified)


@functools.cache
def wired():
    return Wire()


def stop():
    """Takes everything down. What did not end in order."""
    wrong = [f"{running.folder.name} ended with {code}" for running in _running if (code := running.stop()) != 0]
    if server.cache_info().currsize:
        server()[0].stop(grace=None).wait()
    if wired.cache_info().currsize:
        wired().server.close()
    if os.environ.get("CHAPAR_TEST_KEEP"):
        print(f"kept: {FOLDER}", file=sys.stderr)
    else:
        shutil.rmtree(FOLDER)
    return wrong
