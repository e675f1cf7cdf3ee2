"""A server on the loopback that has some files, and refuses what it is told to."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Hub(ThreadingHTTPServer):
    """Files of models by path, as Hugging Face's server gives them: those of `.safetensors` and `.bin` from another place.

    `codes` are what is refused, by path; `asked` are the paths that were asked for; `tags` are wrong hashes by path.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.codes, self.tags, self.asked = dict(files), dict[str, int](), dict[str, str](), list[str]()
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Any

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        path, server = self.path.removeprefix("/storage"), self.server
        server.asked.append(self.path)
        if path in server.codes or path not in server.files:
            self.send_error(server.codes.get(path, 404))
        elif path.endswith((".safetensors", ".bin")) and path == self.path:
            self.send_response(302)
            self.send_header("X-Linked-ETag", f'"{server.tags.get(path, hashlib.sha256(server.files[path]).hexdigest())}"')
            self.send_header("Location", f"/storage{path}")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(server.files[path])))
            self.end_headers()
            self.wfile.write(server.files[path])


@contextmanager
def serve_model(folder: Path, name: str = "someone/model") -> Iterator[Hub]:
    """The files of a folder as those of a model."""
    files = {f"/{name}/resolve/main/{path.name}": path.read_bytes() for path in folder.iterdir()}
    with Hub(files) as hub:
        threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield hub
        finally:
            hub.shutdown()
