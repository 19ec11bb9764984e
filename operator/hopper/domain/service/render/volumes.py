"""Rendering of the volumes of the pod and the volume mounts of the container.

The name of a volume begins with its kind. An entry that changes its kind gets a new volume name, because server-side
apply would merge both sources into one volume, and the API server would reject it.
"""

from posixpath import normpath
from typing import Any

from hopper.api.enums import VolumeType
from hopper.api.service import VolumeEntry
from hopper.domain.service.blueprint import Blueprint
from hopper.domain.service.config_files import ConfigFile
from hopper.domain.service.naming import unique_label
from hopper.domain.service.quantity import canonical_quantity

FILES_VOLUME = "files"
# Without a bound, a tmpfs can fill the memory of the node.
DEFAULT_TMPFS_SIZE = "256Mi"
_FILE_MODE = 0o644


def pod_volumes(blueprint: Blueprint) -> list[dict[str, Any]]:
    """Return the volumes of the pod. A claim with several mounts is listed once."""
    sources = dict(_volume(blueprint, entry) for entry in blueprint.spec.volumes)
    if blueprint.files:
        sources[FILES_VOLUME] = {"projected": {"sources": _file_sources(blueprint), "defaultMode": _FILE_MODE}}
    return [{"name": name, **source} for name, source in sources.items()]


def volume_mounts(blueprint: Blueprint) -> list[dict[str, Any]]:
    """Return the volume mounts of the container.

    Each configuration file is mounted on its own, with a `subPath`, because mounting its directory would hide the files
    that the image has there. A running pod does not see changes of a `subPath` mount. This is no drawback, because
    every change of the configuration restarts the pods.
    """
    mounts = []
    for entry in blueprint.spec.volumes:
        mount = {"name": _volume(blueprint, entry)[0], "mountPath": normpath(entry.target)}
        mounts.append(mount | ({"readOnly": True} if entry.read_only or entry.type is VolumeType.CONFIG else {}))
    mounts += (
        {"name": FILES_VOLUME, "mountPath": file.path, "subPath": file.key, "readOnly": True}
        for file in blueprint.files
    )
    return mounts


def _volume(blueprint: Blueprint, entry: VolumeEntry) -> tuple[str, dict[str, Any]]:
    """Return name and source of the volume for an entry."""
    requested = blueprint.size_of(entry)
    size_limit = {"sizeLimit": canonical_quantity(requested)} if requested else {}
    source = entry.source or entry.target
    if entry.type is VolumeType.TMPFS:
        bound = {} if blueprint.has_pods_of_0_1 else {"sizeLimit": DEFAULT_TMPFS_SIZE}
        return unique_label(f"tmpfs{entry.target}"), {"emptyDir": {"medium": "Memory", **bound, **size_limit}}
    if entry.type is VolumeType.CONFIG:
        return unique_label(f"config/{source}"), {"configMap": {"name": source, "defaultMode": _FILE_MODE}}
    if entry not in blueprint.claims:
        return unique_label(f"scratch/{source.lstrip('/')}"), {"emptyDir": size_limit}
    if entry.external:
        return unique_label(f"external/{source}"), {"persistentVolumeClaim": {"claimName": source}}
    claim = {"claimName": blueprint.names.claim(source)}
    return unique_label(f"claim/{source.lstrip('/')}"), {"persistentVolumeClaim": claim}


def _file_sources(blueprint: Blueprint) -> list[dict[str, Any]]:
    """Return the sources of the files volume: the objects of the instance first, then existing objects."""
    items: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for file in sorted(blueprint.files, key=lambda file: (file.source is not None, file.secret)):
        kind, name, key = _file_location(file, blueprint.names.base)
        items.setdefault((kind, name), []).append({"key": key, "path": file.key, "mode": file.mode})
    return [{kind: {"name": name, "items": object_items}} for (kind, name), object_items in items.items()]


def _file_location(file: ConfigFile, own_name: str) -> tuple[str, str, str]:
    """Return the kind of volume source, the object name and the key of a file."""
    if file.source is None:
        return ("secret" if file.secret else "configMap"), own_name, file.key
    if (secret := file.source.secret_key_ref) is not None:
        return "secret", secret.name, secret.key
    config = file.source.config_map_key_ref
    assert config is not None, "find_problems reports a source without a reference"
    return "configMap", config.name, config.key
