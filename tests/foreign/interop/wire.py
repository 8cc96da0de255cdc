"""gRPC over HTTP/2 frame by frame, both ends, on the `h2` package: for what gRPC's own packages do not let one see (a message's
compressed flag) or do (malformed headers, broken messages). Blocking; a thread per connection of the server."""

import dataclasses
import gzip
import socket
import ssl
import struct
import threading
import time

import h2.config
import h2.connection
import h2.events
import h2.exceptions

WINDOW = 16 << 20
WITHIN = 20.0


def frame(message, packed=False):
    """A message with its prefix; `packed` compresses it with gzip and sets the flag."""
    return framed(gzip.compress(message), 1) if packed else framed(message, 0)


def framed(content, flag):
    """Any bytes behind a prefix that says so."""
    return struct.pack(">BI", flag, len(content)) + content


def messages(data):
    """The messages of a body, each with whether it is compressed, unpacked."""
    found = []
    while data:
        flag, length = struct.unpack_from(">BI", data)
        content, data = data[5 : 5 + length], data[5 + length :]
        found.append((bool(flag), gzip.decompress(content) if flag else content))
    return found


def _context(side, authority, identity):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if side == "server" else ssl.PROTOCOL_TLS_CLIENT)
    context.load_cert_chain(*identity)
    context.load_verify_locations(authority.cert)
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"])
    return context


@dataclasses.dataclass
class Answer:
    """What came back of one call."""

    headers: list = dataclasses.field(default_factory=list)
    data: bytes = b""
    trailers: list = dataclasses.field(default_factory=list)
    reset: int | None = None

    @property
    def status(self):
        """`grpc-status`; None without one."""
        for name, value in self.trailers or self.headers:
            if name == b"grpc-status":
                return int(value)
        return None

    def values(self, name):
        return [value for key, value in self.headers + self.trailers if key == name]


class Client:
    """One connection that makes one call at a time."""

    def __init__(self, address, authority, identity):
        host, port = address.rsplit(":", 1)
        plain = socket.create_connection((host, int(port)), timeout=WITHIN)
        self._socket = _context("client", authority, identity).wrap_socket(plain, server_hostname="localhost")
        # What h2 would put right or refuse, this client means.
        config = h2.config.H2Configuration(
            client_side=True, header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False
        )
        self._h2 = h2.connection.H2Connection(config)
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(WINDOW)
        self._flush()

    def call(self, method, body, metadata=()):
        """Sends a whole request and reads the whole answer."""
        stream = self.begin(method, metadata)
        answer = Answer()
        while body and answer.reset is None and not answer.trailers:
            room = min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size, len(body))
            if room == 0:
                self._read(stream, answer)
                continue
            self._h2.send_data(stream, body[:room])
            body = body[room:]
            self._flush()
        if self._open(stream):
            self._h2.end_stream(stream)
            self._flush()
        return self.rest(answer)

    def rest(self, answer=None):
        """Reads what is left of the answer."""
        answer = answer or Answer()
        while not self._ended:
            self._read(self._stream, answer)
        return answer

    def begin(self, method, metadata=()):
        """Sends the headers of a request. The stream's number."""
        self._ended = False
        stream = self._h2.get_next_available_stream_id()
        fixed = [(":method", "POST"), (":scheme", "https"), (":authority", "localhost"), (":path", f"/{method}")]
        fixed += [("te", "trailers"), ("content-type", "application/grpc")]
        self._h2.send_headers(stream, [*fixed, *metadata])
        self._flush()
        self._stream = stream
        return stream

    def _open(self, stream):
        return not self._ended and self._h2.streams[stream].state_machine.state.name == "OPEN"

    def _read(self, stream, answer):
        data = self._socket.recv(1 << 16)
        if not data:
            self._ended, answer.reset = True, -1
        for event in self._h2.receive_data(data) if data else ():
            if isinstance(event, h2.events.ConnectionTerminated):
                answer.reset = -1
            if getattr(event, "stream_id", None) != stream:
                continue
            match event:
                case h2.events.ResponseReceived():
                    answer.headers = event.headers
                case h2.events.TrailersReceived():
                    answer.trailers = event.headers
                case h2.events.DataReceived():
                    answer.data += event.data
                    if event.flow_controlled_length:
                        self._h2.acknowledge_received_data(event.flow_controlled_length, stream)
                case h2.events.StreamReset():
                    self._ended, answer.reset = True, event.error_code
                case h2.events.StreamEnded():
                    self._ended = True
        self._flush()

    def _flush(self):
        self._socket.sendall(self._h2.data_to_send())

    def close(self):
        self._socket.close()


@dataclasses.dataclass
class Reply:
    """What the server answers: headers beside gRPC's own, body, trailers; or a reset in their place."""

    headers: list = dataclasses.field(default_factory=list)
    body: bytes = b""
    trailers: list = dataclasses.field(default_factory=lambda: [("grpc-status", "0")])
    reset: int | None = None


class Server:
    """Answers each call of the interop service, once its request has ended, with what `answer(method, headers, body)` gives; with
    `at_once`, without waiting for that end. What came is in `seen`; what the other end reset, in `resets` with the time."""

    def __init__(self, authority, identity, answer):
        self._context = _context("server", authority, identity)
        self._answer = answer
        self.seen, self.resets, self.at_once = [], [], False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._connection, args=(plain,), daemon=True).start()

    def _connection(self, plain):
        try:
            _Connection(self, self._context.wrap_socket(plain, server_side=True)).run()
        except (OSError, h2.exceptions.ProtocolError):
            plain.close()

    def close(self):
        self._listener.close()


class _Connection:
    def __init__(self, server, wrapped):
        self._server, self._socket = server, wrapped
        self._h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8", validate_outbound_headers=False)
        )
        self._requests, self._waiting = {}, {}

    def run(self):
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(WINDOW)
        while True:
            self._socket.sendall(self._h2.data_to_send())
            data = self._socket.recv(1 << 16)
            if not data:
                return
            for event in self._h2.receive_data(data):
                self._handle(event)
            self._send()

    def _handle(self, event):
        match event:
            case h2.events.RequestReceived():
                self._requests[event.stream_id] = [event.headers, b""]
                if self._asks_us(event.headers):
                    self._server.seen.append(event.headers)
                    if self._server.at_once:
                        self._reply(event.stream_id)
            case h2.events.DataReceived():
                if event.stream_id in self._requests:
                    self._requests[event.stream_id][1] += event.data
                if event.flow_controlled_length:
                    self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamReset():
                self._requests.pop(event.stream_id, None)
                self._waiting.pop(event.stream_id, None)
                self._server.resets.append((event.error_code, time.monotonic()))
            case h2.events.StreamEnded():
                if event.stream_id in self._requests:
                    self._reply(event.stream_id)

    def _reply(self, stream):
        headers, body = self._requests.pop(stream)
        method = dict(headers)[":path"].rsplit("/", 1)[1]
        unknown = Reply(trailers=[("grpc-status", "12")])
        reply = self._server._answer(method, headers, body) if self._asks_us(headers) else unknown
        if reply is not None:
            self._begin(stream, reply)

    @staticmethod
    def _asks_us(headers):
        """Not for its health, which this server does not tell."""
        return dict(headers)[":path"].startswith("/grpc.testing.")

    def _begin(self, stream, reply):
        fixed = [(":status", "200"), ("content-type", "application/grpc")]
        if reply.reset is not None and not reply.body:
            self._h2.reset_stream(stream, reply.reset)
        elif not reply.body:
            self._h2.send_headers(stream, [*fixed, *reply.headers, *reply.trailers], end_stream=True)
        else:
            self._h2.send_headers(stream, [*fixed, *reply.headers])
            self._waiting[stream] = (reply.body, reply)

    def _send(self):
        for stream, (body, reply) in list(self._waiting.items()):
            while body:
                room = min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size, len(body))
                if room == 0:
                    break
                self._h2.send_data(stream, body[:room])
                body = body[room:]
            if body:
                self._waiting[stream] = (body, reply)
                continue
            del self._waiting[stream]
            if reply.reset is not None:
                self._h2.reset_stream(stream, reply.reset)
            else:
                self._h2.send_headers(stream, reply.trailers, end_stream=True)
