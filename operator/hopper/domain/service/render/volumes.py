"""What the container mounts: volumes of the pod, and where they appear.

The volumes' names begin with what they are. An entry that becomes another kind of volume so gets another name: the API
server would otherwise merge both kinds into one volume, and refuse it.
"""

from posixpath import normpath
from typing import Any

from hopper.api.enums import VolumeType
from hopper.api.service import VolumeEntry
from hopper.domain.service.blueprint import Blueprint
from hopper.domain.service.files import ConfigFile
from hopper.domain.service.naming import distinct
from hopper.domain.service.quantity import canonical

FILES = "files"
_READABLE = 0o644


def volumes(blueprint: Blueprint) -> list[dict[str, Any]]:
    """Return the pod's volumes. A claim that is mounted twice is there once."""
    found = dict(_volume(blueprint, entry) for entry in blueprint.spec.volumes)
    if blueprint.files:
        found[FILES] = {"projected": {"sources": _sources(blueprint), "defaultMode": _READABLE}}
    return [{"name": name, **source} for name, source in found.items()]


def mounts(blueprint: Blueprint) -> list[dict[str, Any]]:
    """Return where the container sees them.

    Each configuration file is mounted by itself, as a `subPath`. To mount its directory would hide everything else that
    the image has there, and what that is nobody knows before it runs. What a `subPath` costs is that a running pod does
    not see changes; but a change of configuration restarts the pods anyway.
    """
    found = []
    for entry in blueprint.spec.volumes:
        mount = {"name": _volume(blueprint, entry)[0], "mountPath": normpath(entry.target)}
        found.append(mount | ({"readOnly": True} if entry.read_only or entry.type is VolumeType.CONFIG else {}))
    found += (
        {"name": FILES, "mountPath": file.path, "subPath": file.key, "readOnly": True} for file in blueprint.files
    )
    return found


def _volume(blueprint: Blueprint, entry: VolumeEntry) -> tuple[str, dict[str, Any]]:
    asked = blueprint.size_of(entry)
    size = {"sizeLimit": canonical(asked)} if asked else {}
    source = entry.source or entry.target
    if entry.type is VolumeType.TMPFS:
        return distinct(f"tmpfs{entry.target}"), {"emptyDir": {"medium": "Memory", **size}}
    if entry.type is VolumeType.CONFIG:
        return distinct(f"config/{source}"), {"configMap": {"name": source, "defaultMode": _READABLE}}
    if entry not in blueprint.claims:
        return distinct(f"scratch/{source.lstrip('/')}"), {"emptyDir": size}
    if entry.external:
        return distinct(f"external/{source}"), {"persistentVolumeClaim": {"claimName": source}}
    claim = {"claimName": blueprint.names.claim(source)}
    return distinct(f"claim/{source.lstrip('/')}"), {"persistentVolumeClaim": claim}


def _sources(blueprint: Blueprint) -> list[dict[str, Any]]:
    """Return the objects that files come from, the instance's own before others, each with its files."""
    items: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for file in sorted(blueprint.files, key=lambda file: (file.source is not None, file.secret)):
        kind, name, key = _origin(file, blueprint.names.base)
        items.setdefault((kind, name), []).append({"key": key, "path": file.key, "mode": file.mode})
    return [{kind: {"name": name, "items": found}} for (kind, name), found in items.items()]


def _origin(file: ConfigFile, own: str) -> tuple[str, str, str]:
    """Return the kind of volume source, the object and the key that a file comes from."""
    if file.source is None:
        return ("secret" if file.secret else "configMap"), own, file.key
    if (ref := file.source.secret_key_ref) is not None:
        return "secret", ref.name, ref.key
    config = file.source.config_map_key_ref
    assert config is not None, "refused in domain/service/problems"
    return "configMap", config.name, config.key
