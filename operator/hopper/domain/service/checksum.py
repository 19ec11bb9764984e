"""Hashes that tell when something has changed, and tell nothing else.

A hash of a secret value is seen by everybody who may read the pods, also by those who may not read the Secret. A long
random value cannot be found from it, but a short password could be guessed. So what covers secrets is keyed with the
instance's uid (equal passwords of two instances do not look equal, and no table made in advance helps) and stretched
(each guess costs two thousand hashes).
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from hashlib import pbkdf2_hmac, sha256
from typing import Any

_ROUNDS = 2000


def digest(value: Any) -> str:
    """Return the hash of something that JSON can hold and everybody may know."""
    return sha256(_canonical(value)).hexdigest()


def secret_digest(data: Mapping[str, str], key: str) -> str:
    """Return the hash of secret values, keyed with something that only one instance has."""
    return _stretched(_canonical(data), key) if data else ""


@lru_cache(maxsize=1024)
def _stretched(content: bytes, key: str) -> str:
    return pbkdf2_hmac("sha256", content, key.encode(), _ROUNDS).hex()


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
