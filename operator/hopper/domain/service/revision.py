"""The revision: one hash for a template and its overrides, by which an outdated workload is recognised."""

from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter

from hopper.api.model import dump
from hopper.api.template import TemplateSpec
from hopper.domain.service.blueprint import Blueprint
from hopper.domain.service.checksum import digest, secret_digest

_SPEC: TypeAdapter[TemplateSpec] = TypeAdapter(TemplateSpec)
_LENGTH = 16


def revision(blueprint: Blueprint) -> str:
    """Return the hash of the effective service. Secret values are in it the way that `checksum` describes."""
    spec = blueprint.spec
    secrets = {entry.name: entry.value for entry in spec.env if entry.secret and entry.value is not None}
    public = replace(spec, env=tuple(replace(e, value=None) if e.name in secrets else e for e in spec.env))
    content: list[Any] = [dump(_SPEC, public), secret_digest(secrets, blueprint.instance.metadata.uid)]
    return digest(content)[:_LENGTH]
