"""Conversion of `volumes`, `tmpfs` and `shm_size`, and of the volumes at the top level of a project."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hopper.api.enums import VolumeType
from hopper.api.service import VolumeEntry
from hopper.compose.project import ComposeProject, NameAllocator, NamedVolume, kubernetes_name
from hopper.compose.reading.short_syntax import parse_boolean, parse_short_volume, parse_size
from hopper.compose.reading.tracked_text import as_text, is_blank, unresolved_variables
from hopper.compose.report import Reporter
from hopper.compose.section import Section
from hopper.compose.services.config_files import ServiceFiles, absolute_path, is_external
from hopper.compose.services.resources import memory_quantity
from hopper.compose.services.unsupported import advise_on_host_path

MAX_VOLUMES = 64
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - a path in the container
_VOLUME_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_IGNORED_OPTIONS = frozenset({"rw", "z", "Z", "cached", "delegated", "consistent", "default", "nocopy"})
_KNOWN_TMPFS_OPTIONS = frozenset({"rw", "exec", "noexec", "nosuid", "nodev", "mode", "uid", "gid"})
_LOST_TMPFS_OPTIONS = frozenset({"mode", "uid", "gid", "exec"})
_EXAMPLES = "write it as in data:/var/lib/data or ./nginx.conf:/etc/nginx/nginx.conf:ro"


@dataclass(slots=True)
class ServiceVolumes:
    """Volumes of one service by their path in the container. `used` lists the named volumes among them.

    A single file that is mounted is added to `files` instead.
    """

    section: Section
    project: ComposeProject
    files: ServiceFiles
    entries: dict[str, VolumeEntry] = field(default_factory=dict)
    used: list[str] = field(default_factory=list)

    def convert(self) -> None:
        """Add the volumes of all keys that mount something."""
        raw = self.section.take("volumes")
        for index, item in enumerate(raw if isinstance(raw, list) else []):
            key = f"volumes[{index}]"
            if item is None or is_blank(item):
                continue
            if isinstance(item, dict):
                self._add_long(Section(item, self.section.reporter, key), key)
            else:
                self._add_short(as_text(item), key)
        self._add_tmpfs()
        self._add_shared_memory()

    def _add_short(self, text: str, key: str) -> None:
        volume = parse_short_volume(text)
        if volume is None or volume.source == "":
            # Variables without a value are reported where they are replaced.
            if not unresolved_variables(text):
                self.section.reporter.problem(key, "the value is not a volume", _EXAMPLES)
            return
        for option in volume.options:
            if option not in _IGNORED_OPTIONS and option != "ro":
                message = f"the option {option} has no effect in a cluster"
                self.section.reporter.dropped(key, message, "Remove it")
        if volume.source is None or _VOLUME_NAME.fullmatch(volume.source):
            self._add_named(key, volume.source, volume.target, read_only="ro" in volume.options)
        else:
            self._add_bind_mount(key, volume.source, volume.target)

    def _add_long(self, volume: Section, key: str) -> None:
        kind, source, target = (volume.take(name) for name in ("type", "source", "target"))
        read_only = parse_boolean(volume.take("read_only")) is True
        volume.drop("consistency", "the key has no effect in a cluster", "Remove it")
        size = self._take_volume_options(volume)
        source_text, target_text = as_text(source), as_text(target)
        is_volume = not source_text or _VOLUME_NAME.fullmatch(source_text)
        match as_text(kind or ("volume" if is_volume else "bind")):
            case "tmpfs":
                self._add(key, target_text, VolumeType.TMPFS, size=self._parse_size(key, size))
            case "volume":
                self._add_named(key, source_text or None, target_text, read_only=read_only)
            case "bind":
                volume.take("bind")
                self._add_bind_mount(key, source_text, target_text)
            case other:
                advice = "Use a named volume, or put the files into the image"
                self.section.reporter.dropped(key, f"Hopper has no volumes of type {other}", advice)
                volume.take(other)
        volume.close()

    def _take_volume_options(self, volume: Section) -> Any:
        """Read the options for a type of volume, report those without effect, and return the size of a tmpfs."""
        tmpfs = volume.below("tmpfs")
        size = tmpfs.take("size") if tmpfs else None
        if options := volume.below("volume"):
            options.take("nocopy")
            options.drop("subpath", "Hopper cannot mount a part of a volume", "Use a separate volume")
            options.close()
        if tmpfs:
            tmpfs.drop("mode", "the mode of a tmpfs volume cannot be set", "Remove it")
            tmpfs.close()
        return size

    def _add_named(self, key: str, name: str | None, target: str, *, read_only: bool) -> None:
        if name is None:
            self._add(key, target, VolumeType.VOLUME, read_only=read_only)
            return
        volume = self.project.volumes.get(name)
        if volume is None:
            volume = NamedVolume(name)
            message = f"the volume {name} is not declared at the top level, and was added"
            self.section.reporter.note(key, message)
        if volume.tmpfs:
            self._add(key, target, VolumeType.TMPFS, size=volume.size)
        elif self._add(key, target, VolumeType.VOLUME, source=volume, read_only=read_only):
            self.used.append(name)

    def _add_bind_mount(self, key: str, source: str, target: str) -> None:
        """Add a mounted file as a config file; report directories and paths on the host."""
        reporter = self.section.reporter
        path = absolute_path(target)
        if path is not None and path in self.files.entries:
            reporter.note(key, f"the config file at {path} is used instead")
            return
        if not source or unresolved_variables(source):
            if not unresolved_variables(source):
                reporter.problem(key, "the bind mount has no source", _EXAMPLES)
        elif (advice := advise_on_host_path(source)) and not self.project.contains(source):
            reporter.dropped(key, f"{source} is a path on the host", advice)
        elif self.files.add_from_disk(key, source, target):
            message = f"the file became the config file {path}, a read-only copy"
            reporter.changed(key, message, "Import again when the file changes")

    def _add_tmpfs(self) -> None:
        raw = self.section.take("tmpfs")
        for item in raw if isinstance(raw, list) else [] if raw is None else [raw]:
            target, _, options = as_text(item).partition(":")
            size = None
            for option in filter(None, options.split(",")):
                name, _, value = option.partition("=")
                if name == "size":
                    size = self._parse_size("tmpfs", value)
                elif name not in _KNOWN_TMPFS_OPTIONS:
                    self.section.reporter.dropped("tmpfs", f"the option {name} cannot be set", "Remove it")
                elif name in _LOST_TMPFS_OPTIONS:
                    message = f"the option {name} cannot be set: all users can write"
                    self.section.reporter.dropped("tmpfs", message, "Remove it")
            if target:
                self._add("tmpfs", target, VolumeType.TMPFS, size=size)

    def _add_shared_memory(self) -> None:
        raw = self.section.take("shm_size")
        if raw is not None and not is_blank(raw) and SHARED_MEMORY not in self.entries:
            size = self._parse_size("shm_size", raw)
            if size and self._add("shm_size", SHARED_MEMORY, VolumeType.TMPFS, size=size):
                self.section.reporter.changed("shm_size", f"it became a tmpfs volume at {SHARED_MEMORY}")

    def _parse_size(self, key: str, raw: Any) -> str | None:
        if raw is None or is_blank(raw):
            return None
        amount = parse_size(raw)
        if amount is None:
            self.section.reporter.dropped(key, "the size is invalid", "Write it as in 64m")
        return memory_quantity(amount) if amount else None

    def _add(
        self,
        key: str,
        target: str,
        kind: VolumeType,
        *,
        source: NamedVolume | None = None,
        read_only: bool = False,
        size: str | None = None,
    ) -> bool:
        """Add a volume. Return whether it was added; if not, it is reported."""
        reporter = self.section.reporter
        path = absolute_path(target)
        if path is None:
            reporter.dropped(key, "the path in the container is not absolute", "Write a path that begins with /")
        elif path in self.files.entries:
            reporter.dropped(key, f"a config file has the same path {path}", "Remove one of the two")
        elif path in self.entries:
            reporter.dropped(key, f"another volume has the path {path}", "Remove one of the two")
        elif len(self.entries) >= MAX_VOLUMES:
            message = f"the service has more than {MAX_VOLUMES} volumes"
            reporter.dropped(key, message, "Keep the data in fewer volumes")
        else:
            self.entries[path] = VolumeEntry(
                target=path,
                type=kind,
                source=source.source if source else None,
                external=True if source and source.external else None,
                read_only=read_only or None,
                size=size,
            )
            return True
        return False


def convert_named_volumes(raw: Any, reporter: Reporter) -> dict[str, NamedVolume]:
    """Return the volumes at the top level of a project by their names in the compose file."""
    allocator = NameAllocator()
    result: dict[str, NamedVolume] = {}
    for name, definition in raw.items() if isinstance(raw, dict) else ():
        section = Section(definition if isinstance(definition, dict) else {}, reporter, f"volumes.{name}")
        result[name] = _convert_named_volume(name, section, allocator)
        section.close()
    return result


def _convert_named_volume(name: str, section: Section, allocator: NameAllocator) -> NamedVolume:
    external, own_name = section.take("external"), section.take("name")
    driver, options = as_text(section.take("driver") or "local"), section.below("driver_opts")
    section.drop("labels", "volumes have no labels", "Label the PersistentVolumeClaim yourself")
    if is_external(external):
        external_name = external.get("name") if isinstance(external, Mapping) else own_name
        source = kubernetes_name(as_text(external_name or name))
        section.reporter.changed(section.key("external"), f"the PersistentVolumeClaim {source} must exist")
        return NamedVolume(source, external=True)
    if own_name is not None:
        message = "the name has no effect: Hopper names PersistentVolumeClaims by convention"
        section.reporter.note(section.key("name"), message)
    if driver != "local":
        advice = (
            "Create a PersistentVolumeClaim of the corresponding storage class, and set its name as source "
            "with external: true"
        )
        section.reporter.dropped(section.key("driver"), f"a cluster has no volume driver {driver}", advice)
    source = allocator.allocate(name)
    return _apply_driver_options(source, options) if options else NamedVolume(source)


def _apply_driver_options(source: str, options: Section) -> NamedVolume:
    kind, flags = as_text(options.take("type")), as_text(options.take("o")).split(",")
    device = options.take("device")
    for key in options.unread():
        options.drop(key, "options of volume drivers have no effect in a cluster", "Remove it")
    if kind == "tmpfs":
        size = next((flag.removeprefix("size=") for flag in flags if flag.startswith("size=")), None)
        amount = parse_size(size) if size else None
        return NamedVolume(source, tmpfs=True, size=memory_quantity(amount) if amount else None)
    if kind or device is not None or any(flags):
        subject = "a directory on the host" if "bind" in flags else f"a mount of type {kind or 'unknown'}"
        advice = (
            "Create a PersistentVolume and a PersistentVolumeClaim for it, and set the name of the claim as source "
            "with external: true"
        )
        options.reporter.dropped(options.key("device"), f"it is {subject}, and became an empty volume", advice)
    return NamedVolume(source)
