"""A fake kubectl, which prints its input and arguments, or fails with the text of the file `kubectl-fails`."""

import sys
from pathlib import Path

failure = Path(sys.argv[0]).with_name("kubectl-fails")
if failure.exists():
    sys.exit(failure.read_text())
if not sys.stdin.isatty():
    sys.stdout.write(sys.stdin.read())
sys.stdout.write(" ".join(sys.argv[1:]) + "\n")
