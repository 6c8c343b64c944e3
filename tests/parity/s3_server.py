"""moto's S3 server for s3_check.py, in this process, with faults, delays and a look at what is published.

moto looks at a condition and then stores, which two requests could do at once; so that a condition means what it means at S3, one request is
handled at a time.
"""

import random
import socket
import threading
import time

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server


class Quiet(WSGIRequestHandler):
    def log(self, *arguments):
        pass


class Cut(ConnectionError):
    """The connection ends here."""


def cut(environ):
    # Left to itself, the library would keep the connection open and say nothing more.
    environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    raise Cut()


class Server:
    """An S3 server on a free port of this machine, until it is stopped."""

    FAULTS = ("busy", "busy-after", "reset", "reset-after", "short", "slow")

    def __init__(self, seed=7):
        self.app = DomainDispatcherApplication(create_backend_app)
        self.one = threading.Lock()
        self.lot = random.Random(seed)
        self.share = 0.0
        self.faults = dict.fromkeys(self.FAULTS, 0)
        self.delay = 0.0
        self.requests = []
        # Contents of manifests, in the order in which they were stored, by key.
        self.published = {}
        # Conditional puts of manifests wait here for each other.
        self.meeting = None
        self.server = make_server("127.0.0.1", 0, self.answer, threaded=True, request_handler=Quiet)
        self.server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()

    def answer(self, environ, start_response):
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        # Read whole before anything is judged: a client that is killed has sent half of it.
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
        if len(body) < length:
            cut(environ)
        environ["wsgi.input"] = Again(body)
        self.requests.append(f"{method} {path}")
        if self.delay and method == "PUT":
            time.sleep(self.delay)
        fault = self.lot.choice(self.FAULTS) if self.lot.random() < self.share else None
        if fault:
            self.faults[fault] += 1
        if fault == "slow":
            time.sleep(0.2)
        if fault == "reset":
            cut(environ)
        if fault == "busy":
            start_response("503 Slow Down", [("Content-Length", "0")])
            return [b""]
        conditional = "HTTP_IF_NONE_MATCH" in environ or "HTTP_IF_MATCH" in environ
        if self.meeting and method == "PUT" and conditional and path.endswith("manifest.json"):
            try:
                self.meeting.wait(30)
            except threading.BrokenBarrierError:
                pass
        status, headers, content = self.handle(environ)
        if method == "PUT" and path.endswith("manifest.json") and status.startswith("200"):
            self.published.setdefault(path, []).append(body)
        if fault == "reset-after":
            cut(environ)
        if fault == "busy-after":
            start_response("503 Slow Down", [("Content-Length", "0")])
            return [b""]
        start_response(status, headers)
        return self.short(environ, content) if fault == "short" else [content]

    def handle(self, environ):
        said = []
        with self.one:
            content = b"".join(self.app(environ, lambda status, headers, info=None: said.extend([status, headers])))
        return said[0], said[1], content

    @staticmethod
    def short(environ, content):
        yield content[: len(content) // 2]
        cut(environ)


class Again:
    """A body that was read, to be read."""

    def __init__(self, body):
        self.body, self.at = body, 0

    def read(self, size=-1):
        end = len(self.body) if size is None or size < 0 else self.at + size
        piece, self.at = self.body[self.at : end], min(end, len(self.body))
        return piece

    def readline(self, size=-1):
        end = self.body.find(b"\n", self.at) + 1 or len(self.body)
        return self.read(end - self.at)
