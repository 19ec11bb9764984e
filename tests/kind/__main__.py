"""The container engine and the images for kind clusters, on machines without Docker or a registry.

`python -m tests.kind up` starts an engine if none answers, builds the images and prints the variables that make
`hopper local up --provider kind` and docker use them. `python -m tests.kind down` stops that engine.
"""

from __future__ import annotations

import shlex
import sys

from hopper.local import LocalError
from hopper.local.cluster_files import cache_dir
from hopper.local.live_progress import progress_for
from tests.kind.clusters import start_engine, stop_engine

if sys.argv[1:] not in (["up"], ["down"]):
    sys.exit("usage: python -m tests.kind up|down")
try:
    if sys.argv[1] == "down":
        stop_engine(cache_dir(), progress_for())
    else:
        for name, value in start_engine(cache_dir(), progress_for()).items():
            sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
except LocalError as error:
    sys.exit(f"error: {error}")
