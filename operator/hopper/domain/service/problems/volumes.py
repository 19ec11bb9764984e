"""What is wrong with volumes: paths of the node, paths that clash, names that lead nowhere."""

import re
from collections.abc import Iterator
from posixpath import normpath

from hopper.api.enums import VolumeType
from hopper.api.service import VolumeEntry
from hopper.domain.service.merge import EffectiveService
from hopper.domain.service.naming import slug
from hopper.domain.service.problem import ServiceProblem
from hopper.domain.service.problems.forms import lies_within, wrong_object_name, wrong_path
from hopper.domain.service.quantity import nanos

_NANO = 10**9
# What the container runtime and the kubelet mount themselves. Shared memory is the one place there that people change.
SYSTEM = ("/proc", "/sys", "/dev", "/var/run/secrets/kubernetes.io", "/run/secrets/kubernetes.io")
_SHARED_MEMORY = "/dev/shm"  # noqa: S108
_PATH_LIKE = re.compile(r"[./~\\]|.*[/\\]|[A-Za-z]:")


def volume_problems(effective: EffectiveService) -> Iterator[ServiceProblem]:
    mounted: dict[str, str] = {}
    claims: dict[str, str] = {}
    for volume in effective.spec.volumes:
        path = f"volumes[{volume.target}]"
        wrongs = [*_entry(volume)]
        other = mounted.setdefault(normpath(volume.target), path)
        if other != path:
            wrongs.append((".target", f"is where {other} is mounted already: choose another path"))
        if volume.type is VolumeType.VOLUME and not volume.external:
            source = volume.source or volume.target
            if claims.setdefault(slug(source), source) != source:
                known = claims[slug(source)]
                wrongs.append((".source", f"and {known} would be the same claim {slug(source)}: rename one of them"))
        yield from (ServiceProblem(f"{path}{field}", wrong, effective.origin(path)) for field, wrong in wrongs)


def system_directory(path: str) -> str | None:
    """Return the directory of the system that a path lies in, None for an ordinary path."""
    return next((directory for directory in SYSTEM if lies_within(normpath(path), directory)), None)


def _entry(volume: VolumeEntry) -> Iterator[tuple[str, str]]:
    if wrong := wrong_path(volume.target):
        yield ".target", wrong
    elif normpath(volume.target) == "/":
        yield ".target", "would hide the whole image: mount below /"
    elif normpath(volume.target) != _SHARED_MEMORY and (directory := system_directory(volume.target)):
        yield ".target", f"lies in {directory}, which belongs to the system: choose another path"
    if volume.type is VolumeType.BIND:
        yield ".type", "bind would mount a path of the node, which a cluster does not allow: use volume or config"
    yield from _source(volume)
    if volume.size is not None and (nanos(volume.size) == 0 or nanos(volume.size) % _NANO):
        yield ".size", "is not a whole number of bytes above zero: write a number and a unit, such as 1Gi"


def _source(volume: VolumeEntry) -> Iterator[tuple[str, str]]:
    named = volume.external or volume.type is VolumeType.CONFIG
    if volume.external and volume.type not in (VolumeType.VOLUME, VolumeType.CONFIG):
        yield ".external", f"has no meaning for {volume.type}: remove it, or use type volume"
    elif named and volume.source is None:
        what = "ConfigMap" if volume.type is VolumeType.CONFIG else "claim"
        yield ".source", f"is missing: name the {what} that exists already"
    elif named and volume.source is not None:
        if wrong := wrong_object_name(volume.source):
            yield ".source", wrong
    elif volume.source is not None and _PATH_LIKE.match(volume.source):
        yield ".source", "is a path, and a cluster mounts no paths of its nodes: use the name of a volume"
