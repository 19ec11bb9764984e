"""Hypothesis strategies for templates and overrides. They share a few keys, so that overrides match often."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from hopper.api.enums import PortProtocol, VolumeType
from hopper.api.service import (
    ConfigFileEntry,
    DomainEntry,
    EnvEntry,
    Healthcheck,
    LabelEntry,
    Overrides,
    PortEntry,
    VolumeEntry,
)
from hopper.api.template import TemplateSpec

_KEYS = "abcde"
_TEXTS = st.sampled_from(["", "1", "two", "$(a)", "x y"])
_NUMBERS = st.sampled_from([1, 2, 3, 4, 5])
_MAYBE = st.sampled_from([None, True, False])


def _records(kind: Callable[..., Any], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return a strategy for records. `st.builds` does not work, because it passes field aliases as arguments."""
    return st.fixed_dictionaries(fields).map(lambda values: kind(**values))


def _entries(entries: st.SearchStrategy[Any], key: Any) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(entries, max_size=6, unique_by=key).map(tuple)


def _kinds(remove: st.SearchStrategy[bool | None]) -> dict[str, st.SearchStrategy[Any]]:
    ports = _records(
        PortEntry,
        container_port=_NUMBERS,
        protocol=st.sampled_from(PortProtocol),
        host_port=st.none() | _NUMBERS,
        remove=remove,
    )
    volumes = _records(
        VolumeEntry,
        target=st.sampled_from([f"/{key}" for key in _KEYS]),
        type=st.sampled_from([VolumeType.VOLUME, VolumeType.TMPFS]),
        read_only=_MAYBE,
        size=st.sampled_from([None, "1Gi", "2Gi"]),
        remove=remove,
    )
    env = _records(EnvEntry, name=st.sampled_from(_KEYS), value=st.none() | _TEXTS, secret=_MAYBE, remove=remove)
    labels = _records(LabelEntry, name=st.sampled_from(_KEYS), value=st.sampled_from(["", "x", "y"]), remove=remove)
    domains = _records(DomainEntry, domain=st.sampled_from(_KEYS), proxy_port=st.none() | _NUMBERS, remove=remove)
    files = _records(
        ConfigFileEntry, path=st.sampled_from([f"/f/{key}" for key in _KEYS]), content=_TEXTS, remove=remove
    )
    check = _records(Healthcheck, test=st.just(("CMD", "true")), retries=_NUMBERS, remove=remove)
    return {
        "ports": _entries(ports, lambda port: (port.container_port, port.protocol)),
        "volumes": _entries(volumes, lambda volume: volume.target),
        "env": _entries(env, lambda variable: variable.name),
        "labels": _entries(labels, lambda label: label.name),
        "domains": _entries(domains, lambda domain: domain.domain),
        "config_files": _entries(files, lambda file: file.path),
        "healthcheck": st.none() | check,
    }


TEMPLATES = _records(TemplateSpec, image=st.just("web:1"), **_kinds(st.none()))
OVERRIDES = _records(Overrides, **_kinds(st.sampled_from([None, None, True, False])))
