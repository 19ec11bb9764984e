"""`volumes`, `tmpfs` and `shm_size` → volumes; single files that were bind-mounted → config files."""

import re
from dataclasses import dataclass, field
from typing import Any

from hopper.api.enums import VolumeType
from hopper.api.service import VolumeEntry
from hopper.compose.project import NamedVolume, Project
from hopper.compose.reading.syntax import size_in_bytes, split_volume, switch
from hopper.compose.reading.text import as_text, is_blank, unresolved_in
from hopper.compose.section import Section
from hopper.compose.services.config_files import ConfigFiles, absolute_path
from hopper.compose.services.host_paths import bind_advice
from hopper.compose.services.resources import memory_quantity

MAX_VOLUMES = 64
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - a path in the container
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_IGNORED_OPTIONS = frozenset({"rw", "z", "Z", "cached", "delegated", "consistent", "default", "nocopy"})
_FORM = "write it as in data:/var/lib/data or ./nginx.conf:/etc/nginx/nginx.conf:ro"


@dataclass(slots=True)
class Mounts:
    """The mounts of one service. `used` are the named volumes among them, by their name in the compose file."""

    section: Section
    project: Project
    files: ConfigFiles
    entries: dict[str, VolumeEntry] = field(default_factory=dict)
    used: list[str] = field(default_factory=list)

    def convert(self) -> None:
        """Read all keys that mount something."""
        raw = self.section.take("volumes")
        for index, item in enumerate(raw if isinstance(raw, list) else []):
            key = f"volumes[{index}]"
            if item is None or is_blank(item):
                continue
            if isinstance(item, dict):
                self._long(Section(item, self.section.about, key), key)
            else:
                self._short(as_text(item), key)
        self._tmpfs()
        self._shared_memory()

    def _short(self, text: str, key: str) -> None:
        volume = split_volume(text)
        if volume is None or volume.source == "":
            # Where variables have no value, that is reported already.
            if not unresolved_in(text):
                self.section.about.problem(key, "this is no volume", _FORM)
            return
        read_only = "ro" in volume.options
        for option in volume.options:
            if option not in _IGNORED_OPTIONS and option != "ro":
                self.section.about.dropped(key, f"the option {option} has no meaning in a cluster", "Remove it")
        if volume.source is None or _NAME.fullmatch(volume.source):
            self._named(key, volume.source, volume.target, read_only)
        else:
            self._bind(key, volume.source, volume.target)

    def _long(self, inner: Section, key: str) -> None:
        kind, source, target = (inner.take(name) for name in ("type", "source", "target"))
        read_only = switch(inner.take("read_only")) is True
        inner.drop("consistency", "it has no meaning in a cluster", "Remove it")
        tmpfs = inner.below("tmpfs")
        size = tmpfs.take("size") if tmpfs else None
        if volume := inner.below("volume"):
            volume.take("nocopy")
            volume.drop("subpath", "volumes are mounted whole", "Use a volume of its own")
            volume.close()
        if tmpfs:
            tmpfs.drop("mode", "a tmpfs has the usual mode", "Remove it")
            tmpfs.close()
        source_text, target_text = as_text(source), as_text(target)
        match as_text(kind or ("volume" if _NAME.fullmatch(source_text) or not source_text else "bind")):
            case "tmpfs":
                self._add(key, target_text, VolumeType.TMPFS, size=self._size(key, size))
            case "volume":
                self._named(key, source_text or None, target_text, read_only)
            case "bind":
                inner.take("bind")
                self._bind(key, source_text, target_text)
            case other:
                advice = "Use a named volume, or put the files into the image"
                self.section.about.dropped(key, f"there are no volumes of type {other}", advice)
                inner.take(other)
        inner.close()

    def _named(self, key: str, name: str | None, target: str, read_only: bool) -> None:
        if name is None:
            self._add(key, target, VolumeType.VOLUME, read_only=read_only)
            return
        volume = self.project.volumes.get(name)
        if volume is None:
            volume = NamedVolume(name)
            self.section.about.note(key, f"the volume {name} is not among the volumes of the file, and was added")
        if volume.tmpfs:
            self._add(key, target, VolumeType.TMPFS, size=volume.size)
        elif self._add(key, target, VolumeType.VOLUME, source=volume, read_only=read_only):
            self.used.append(name)

    def _bind(self, key: str, source: str, target: str) -> None:
        about = self.section.about
        path = absolute_path(target)
        if path is not None and path in self.files.entries:
            about.note(key, f"the config file at {path} takes its place")
            return
        if not source or unresolved_in(source):
            if not unresolved_in(source):
                about.problem(key, "the bind mount has no source", _FORM)
        elif (advice := bind_advice(source)) and not self.project.holds(source):
            about.dropped(key, f"{source} is a part of the machine", advice)
        elif self.files.from_disk(key, source, target):
            about.changed(
                key, f"the file became the config file {path}, a read-only copy", "Import again if it changes"
            )

    def _tmpfs(self) -> None:
        raw = self.section.take("tmpfs")
        for item in raw if isinstance(raw, list) else [] if raw is None else [raw]:
            target, _, options = as_text(item).partition(":")
            size = None
            for option in filter(None, options.split(",")):
                name, _, value = option.partition("=")
                if name == "size":
                    size = self._size("tmpfs", value)
                elif name not in ("rw", "exec", "noexec", "nosuid", "nodev", "mode", "uid", "gid"):
                    self.section.about.dropped("tmpfs", f"the option {name} cannot be set", "Remove it")
                elif name in ("mode", "uid", "gid", "exec"):
                    self.section.about.dropped("tmpfs", f"{name} cannot be set: every user may write", "Remove it")
            if target:
                self._add("tmpfs", target, VolumeType.TMPFS, size=size)

    def _shared_memory(self) -> None:
        raw = self.section.take("shm_size")
        if raw is not None and not is_blank(raw) and SHARED_MEMORY not in self.entries:
            size = self._size("shm_size", raw)
            if size and self._add("shm_size", SHARED_MEMORY, VolumeType.TMPFS, size=size):
                self.section.about.changed("shm_size", f"it became a tmpfs volume at {SHARED_MEMORY}")

    def _size(self, key: str, raw: Any) -> str | None:
        if raw is None or is_blank(raw):
            return None
        amount = size_in_bytes(raw)
        if amount is None:
            self.section.about.dropped(key, "its size is no size", "Write it as in 64m")
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
        about = self.section.about
        path = absolute_path(target)
        if path is None:
            about.dropped(key, "its place in the container is no absolute path", "Write one that begins with /")
        elif path in self.files.entries:
            about.dropped(key, f"the config file at {path} takes the place of the volume", "Remove one of the two")
        elif path in self.entries:
            about.dropped(key, f"there is a volume at {path} already", "Remove one of the two")
        elif len(self.entries) >= MAX_VOLUMES:
            about.dropped(key, f"there are more than {MAX_VOLUMES} volumes", "Keep data together in one volume")
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
