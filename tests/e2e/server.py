"""What the instances of the end-to-end tests run: a web server that tells who it is and remembers its starts.

Nothing but the standard library; it is mounted as a configuration file into Hopper's own image.
"""

import json
import os
import signal
import sys
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

# Each start of the process is another life.
LIFE = uuid.uuid4().hex
STARTS = Path("/data/starts")


class Handler(BaseHTTPRequestHandler):
    """Answer every GET with what is known of this process."""

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
        sys.exit("as was asked for")
    if STARTS.parent.is_dir():
        with STARTS.open("a") as file:
            file.write(f"{LIFE}\n")
    server = ThreadingHTTPServer(("", 8080), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()


if __name__ == "__main__":
    main()
