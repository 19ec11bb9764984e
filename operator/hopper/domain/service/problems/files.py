"""What is wrong with configuration files: where they go, and whether their text can be rendered."""

from collections.abc import Iterator
from posixpath import normpath

from hopper.api.enums import VolumeType
from hopper.api.service import ConfigFileEntry, EnvSource
from hopper.domain.service.merge import EffectiveService
from hopper.domain.service.problem import ServiceProblem
from hopper.domain.service.problems.forms import lies_within, wrong_path, wrong_source
from hopper.domain.service.problems.volumes import system_directory
from hopper.domain.service.text_template import TextError, check


def file_problems(effective: EffectiveService) -> Iterator[ServiceProblem]:
    for entry in effective.spec.config_files:
        path = f"configFiles[{entry.path}]"
        origin = effective.origin(path)
        wrong = _wrong_file_path(entry.path) or _clash(entry, effective)
        if wrong is not None:
            yield ServiceProblem(f"{path}.path", wrong, origin)
        if (wrong := _wrong_content(entry)) is not None:
            yield ServiceProblem(f"{path}.content", wrong, origin)
        if entry.content_from is not None:
            found = _source(entry, entry.content_from)
            yield from (ServiceProblem(f"{path}{field}", wrong, origin) for field, wrong in found)


def _wrong_file_path(path: str) -> str | None:
    if wrong := wrong_path(path):
        return wrong
    if path.endswith("/"):
        return "is a directory: name the file"
    if directory := system_directory(path):
        return f"lies in {directory}, which belongs to the system: choose another path"
    return None


def _clash(entry: ConfigFileEntry, effective: EffectiveService) -> str | None:
    for other in effective.spec.config_files:
        if other.path != entry.path and lies_within(entry.path, other.path):
            return f"lies below the file {other.path}, which is no directory: rename one of them"
    for volume in effective.spec.volumes:
        target = normpath(volume.target)
        if lies_within(target, entry.path):
            return f"is in the way of the volume at {target}: choose another path"
        read_only = volume.read_only or volume.type is VolumeType.CONFIG
        if read_only and lies_within(entry.path, target):
            return f"lies in the read-only volume at {target}, where no file can be added: choose another path"
    return None


def _source(entry: ConfigFileEntry, source: EnvSource) -> Iterator[tuple[str, str]]:
    if entry.content:
        yield ".contentFrom", "and content exclude each other: remove one of them"
    if entry.template:
        yield ".template", "has no meaning for a file from another object, which is taken as it is: remove it"
    yield from wrong_source(source, ".contentFrom")


def _wrong_content(entry: ConfigFileEntry) -> str | None:
    if entry.template:
        try:
            check(entry.content)
        except TextError as error:
            return str(error)
    return None
