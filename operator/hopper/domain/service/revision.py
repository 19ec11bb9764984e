"""The revision: one hash of all that an instance runs, by which an outdated workload is recognised."""

from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter

from hopper.api.model import dump
from hopper.api.names import LABEL_APP_NAME
from hopper.api.template import TemplateSpec
from hopper.domain.service.blueprint import Blueprint
from hopper.domain.service.checksum import digest
from hopper.domain.service.contents import checksum

_SPEC: TypeAdapter[TemplateSpec] = TypeAdapter(TemplateSpec)
_LENGTH = 16


def revision(blueprint: Blueprint) -> str:
    """Return the hash of the effective service, and of what else pods are made from.

    That is the type, the name of the template, and the files as they are rendered, with values of the instance and of
    its ancestors. Secret values are in it the way that `checksum` describes.
    """
    spec = blueprint.spec
    public = replace(spec, env=tuple(replace(e, value=None) if e.secret else e for e in spec.env))
    content: list[Any] = [
        dump(_SPEC, public),
        checksum(blueprint),
        blueprint.type,
        blueprint.names.pod_labels[LABEL_APP_NAME],
    ]
    return digest(content)[:_LENGTH]
