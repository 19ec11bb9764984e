"""Problems of volumes and configuration files: node paths, conflicting paths, and invalid names or contents."""

import re
from collections.abc import Iterator
from posixpath import normpath

from hopper.api.enums import VolumeType
from hopper.api.service import ConfigFileEntry, EnvSource, VolumeEntry
from hopper.domain.service.merge import EffectiveService, ServiceProblem
from hopper.domain.service.naming import slug
from hopper.domain.service.problems.formats import (
    container_path_error,
    lies_within,
    object_name_error,
    source_errors,
)
from hopper.domain.service.quantity import NANOS_PER_UNIT, nanos
from hopper.domain.service.text_template import TemplateTextError, check_template_text

# Directories that the container runtime and the kubelet mount.
_SYSTEM_DIRECTORIES = ("/proc", "/sys", "/dev", "/var/run/secrets/kubernetes.io", "/run/secrets/kubernetes.io")
# Files that the kubelet mounts, and the directory of them and of the accounts of the image.
_KUBELET_FILES = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf")
_SYSTEM_CONFIGURATION = "/etc"
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - the only system directory that a volume may replace
_LOOKS_LIKE_PATH = re.compile(r"[./~\\]|.*[/\\]|[A-Za-z]:")


def volume_problems(effective: EffectiveService) -> Iterator[ServiceProblem]:
    """Yield the problems of volumes."""
    by_target: dict[str, str] = {}
    claims: dict[str, str] = {}
    for volume in effective.spec.volumes:
        path = f"volumes[{volume.target}]"
        errors = [*_volume_errors(volume)]
        other = by_target.setdefault(normpath(volume.target), path)
        if other != path:
            errors.append((".target", f"is the same path as that of {other}: use another path"))
        if volume.type is VolumeType.VOLUME and not volume.external:
            source = volume.source or volume.target
            if claims.setdefault(slug(source), source) != source:
                first = claims[slug(source)]
                errors.append((".source", f"has the same claim name as {first}, {slug(source)}: rename one of them"))
        yield from (ServiceProblem(f"{path}{field}", error, effective.origin(path)) for field, error in errors)


def _volume_errors(volume: VolumeEntry) -> Iterator[tuple[str, str]]:
    if error := container_path_error(volume.target):
        yield ".target", error
    elif normpath(volume.target) == "/":
        yield ".target", "is the root directory, which would hide the image: use a path below /"
    elif normpath(volume.target) == _SYSTEM_CONFIGURATION:
        yield ".target", "is the system directory /etc, which would hide the accounts of the image: use a path below it"
    elif normpath(volume.target) != _SHARED_MEMORY and (error := _system_directory_error(volume.target)):
        yield ".target", error
    if volume.type is VolumeType.BIND:
        yield ".type", "is bind, which would mount a path of the node: use volume, tmpfs or config"
    yield from _volume_source_errors(volume)
    if volume.size is not None and (nanos(volume.size) == 0 or nanos(volume.size) % NANOS_PER_UNIT):
        yield ".size", "is not a positive whole number of bytes: use a number with a unit, such as 1Gi"


def _volume_source_errors(volume: VolumeEntry) -> Iterator[tuple[str, str]]:
    needs_name = volume.external or volume.type is VolumeType.CONFIG
    if volume.external and volume.type not in (VolumeType.VOLUME, VolumeType.CONFIG):
        yield ".external", f"does not apply to type {volume.type}: remove it, or use type volume"
    elif needs_name and volume.source is None:
        kind = "ConfigMap" if volume.type is VolumeType.CONFIG else "PersistentVolumeClaim"
        yield ".source", f"is missing: set it to the name of an existing {kind}"
    elif needs_name and volume.source is not None:
        if error := object_name_error(volume.source):
            yield ".source", error
    elif volume.source is not None and _LOOKS_LIKE_PATH.match(volume.source):
        yield ".source", "is a path, and node paths cannot be mounted: use the name of a volume"


def file_problems(effective: EffectiveService) -> Iterator[ServiceProblem]:
    """Yield the problems of configuration files."""
    for entry in effective.spec.config_files:
        path = f"configFiles[{entry.path}]"
        origin = effective.origin(path)
        if error := _file_path_error(entry.path) or _file_conflict_error(entry, effective):
            yield ServiceProblem(f"{path}.path", error, origin)
        if error := _content_error(entry):
            yield ServiceProblem(f"{path}.content", error, origin)
        if entry.content_from is not None:
            errors = _file_source_errors(entry, entry.content_from)
            yield from (ServiceProblem(f"{path}{field}", error, origin) for field, error in errors)


def _file_path_error(path: str) -> str | None:
    if error := container_path_error(path):
        return error
    if path.endswith("/"):
        return "is a directory: add a file name"
    return _system_directory_error(path)


def _system_directory_error(path: str) -> str | None:
    if (file := next((file for file in _KUBELET_FILES if lies_within(normpath(path), file)), None)) is not None:
        return f"is {file}, which the kubelet writes: use another path"
    directory = next((directory for directory in _SYSTEM_DIRECTORIES if lies_within(normpath(path), directory)), None)
    return f"is in the system directory {directory}: use another path" if directory else None


def _file_conflict_error(entry: ConfigFileEntry, effective: EffectiveService) -> str | None:
    for other in effective.spec.config_files:
        if other.path != entry.path and lies_within(entry.path, other.path):
            return f"is below {other.path}, which is a file: rename one of them"
    for volume in effective.spec.volumes:
        target = normpath(volume.target)
        if lies_within(target, entry.path):
            return f"conflicts with the volume at {target}: use another path"
        read_only = volume.read_only or volume.type is VolumeType.CONFIG
        if read_only and lies_within(entry.path, target):
            return f"is in the read-only volume at {target}, where no file can be added: use another path"
    return None


def _content_error(entry: ConfigFileEntry) -> str | None:
    if entry.template:
        try:
            check_template_text(entry.content)
        except TemplateTextError as error:
            return str(error)
    return None


def _file_source_errors(entry: ConfigFileEntry, source: EnvSource) -> Iterator[tuple[str, str]]:
    if entry.content:
        yield ".contentFrom", "cannot be set together with content: remove one of them"
    if entry.template:
        yield ".template", "does not apply to contentFrom, whose content is not rendered: remove it"
    yield from source_errors(source, ".contentFrom")
