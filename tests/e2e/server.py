"""The program of the instances in the end-to-end tests: a web server that reports its identity and its starts.

The program is mounted as a configuration file into Hopper's image, so it uses the standard library only.
"""

import json
import os
import signal
import sys
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

# Identifies this process.
LIFE = uuid.uuid4().hex
STARTS = Path("/data/starts")


class Handler(BaseHTTPRequestHandler):
    """Answers every GET with the identity of this process."""

    def do_GET(self) -> None:
        answer = {
            "instance": os.environ.get("INSTANCE", ""),
            "greeting": os.environ.get("GREETING", ""),
            "life": LIFE,
            "starts": len(STARTS.read_text().splitlines()) if STARTS.exists() else None,
        }
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """Serve on port 8080 until SIGTERM."""
    if os.environ.get("CRASH"):
        sys.exit("CRASH is set")
    if STARTS.parent.is_dir():
        with STARTS.open("a") as file:
            file.write(f"{LIFE}\n")
    server = ThreadingHTTPServer(("", 8080), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()


if __name__ == "__main__":
    main()
