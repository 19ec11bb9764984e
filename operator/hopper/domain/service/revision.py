"""Configuration data of an instance, its checksum, and the revision of all that the instance runs.

Everyone who can read pods sees the checksum, even without access to the Secret, so it must not reveal secret values.
A short password can be guessed from a plain hash. So the hash of secret values has a random key, which is stored beside
the values in the Secret of the instance: only those who can read the values can read the key. The operator creates the
key once and takes it from the Secret afterwards, so a restart of the operator changes no checksum.
"""

import hmac
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from hashlib import pbkdf2_hmac, sha256
from typing import Any

from pydantic import TypeAdapter

from hopper.api.model import dump
from hopper.api.names import LABEL_APP_NAME
from hopper.api.template import TemplateSpec
from hopper.domain.service.blueprint import Blueprint

_SPEC: TypeAdapter[TemplateSpec] = TypeAdapter(TemplateSpec)
_REVISION_LENGTH = 16
_STRETCH_ROUNDS = 2000


def revision(blueprint: Blueprint) -> str:
    """Return the hash of everything that the pods are made from. An outdated workload has another revision.

    The hash covers the effective service, the type, the name of the template and the rendered files. Secret values
    count through `config_checksum` only.
    """
    spec = blueprint.spec
    public_env = tuple(replace(entry, value=None) if entry.secret else entry for entry in spec.env)
    content: list[Any] = [
        dump(_SPEC, replace(spec, env=public_env)),
        config_checksum(blueprint),
        blueprint.type,
        blueprint.names.labels[LABEL_APP_NAME],
    ]
    return _digest(content)[:_REVISION_LENGTH]


def config_checksum(blueprint: Blueprint) -> str | None:
    """Return the hash of the configuration that pods read at their start, None if there is none.

    Without a key, only the names of secret values count.
    """
    config, secrets = config_data(blueprint), secret_data(blueprint)
    if not config and not secrets:
        return None
    if blueprint.has_pods_of_0_1:
        return _digest([config, _digest_of_0_1(secrets, blueprint.instance.metadata.uid)])
    return _digest([config, _secret_digest(secrets, blueprint.checksum_key)])


def config_data(blueprint: Blueprint) -> dict[str, str]:
    """Return the data of the ConfigMap: the files without secret values."""
    return {file.key: file.text for file in blueprint.files if not file.secret and not file.source}


def secret_data(blueprint: Blueprint) -> dict[str, str]:
    """Return the data of the Secret in plain text: secret variables by name, and the files with secret values."""
    variables = {entry.name: entry.value for entry in blueprint.spec.env if entry.secret and entry.value is not None}
    return variables | {file.key: file.text for file in blueprint.files if file.secret and not file.source}


def _digest(value: Any) -> str:
    return sha256(_canonical_json(value)).hexdigest()


def _secret_digest(data: Mapping[str, str], key: str) -> str:
    if not data:
        return ""
    if not key:
        return _digest(sorted(data))
    return hmac.new(key.encode(), _canonical_json(data), "sha256").hexdigest()


def _digest_of_0_1(data: Mapping[str, str], uid: str) -> str:
    """Return the digest of Hopper 0.1, which tells whether its pods still have the current values."""
    return _stretched_digest(_canonical_json(data), uid) if data else ""


@lru_cache(maxsize=1024)
def _stretched_digest(content: bytes, key: str) -> str:
    return pbkdf2_hmac("sha256", content, key.encode(), _STRETCH_ROUNDS).hex()


def _canonical_json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
