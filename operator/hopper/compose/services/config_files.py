"""Conversion of `configs`, `x-devarch-config` and single mounted files into config files."""

import re
from dataclasses import dataclass, field
from posixpath import normpath
from typing import Any

from hopper.api.service import ConfigFileEntry, EnvSource, KeyRef
from hopper.compose.project import ComposeProject, kubernetes_name
from hopper.compose.reading.file_readers import UnreadableFileError
from hopper.compose.reading.short_syntax import parse_boolean
from hopper.compose.reading.tracked_text import as_text, is_blank, tracked_secrets, unresolved_variables
from hopper.compose.secret_detection import is_secret_name, is_secret_text, is_trivial_value
from hopper.compose.section import EXTENSION_PREFIX, Section
from hopper.compose.services.service_secret import ServiceSecret

MAX_FILE = 256 * 1024
MAX_FILES = 64
DEFAULT_MODE = "0644"
# A ConfigMap holds at most 1 MiB, including the names of the files.
MAX_TOTAL = 960 * 1024
DEVARCH_CONFIG = f"{EXTENSION_PREFIX}devarch-config"
_MAX_PATH = 1024
_SECRET_FILE_NAME = re.compile(r"keyfile$|^\.?pgpass|^id_(rsa|dsa|ecdsa|ed25519)$", re.IGNORECASE)
_CREDENTIAL = re.compile(
    r"(?im)^[^#\n]{0,80}(?P<name>(?:password|passwd|secret|token|api_?key)\w{0,40})[\"']?\s{0,8}[:=]\s{0,8}[\"']?"
    r"(?P<value>[^\s\"'$]\S{0,512})"
)


@dataclass(slots=True)
class ServiceFiles:
    """Config files of one service by their path in the container.

    Files that contain a secret, such as one of `secret_values`, are stored in the Secret. `variables` are the names of
    the variables of the service, which are also keys of the Secret.
    """

    section: Section
    project: ComposeProject
    secret_values: tuple[str, ...]
    secret: ServiceSecret
    variables: set[str]
    entries: dict[str, ConfigFileEntry] = field(default_factory=dict)
    _total: int = 0

    def add_from_disk(self, key: str, source: str, target: str, *, mode: str | None = None) -> bool:
        """Add a file beside the compose file. Return whether it was added; if not, it is reported."""
        try:
            file = self.project.read(source, MAX_FILE)
        except UnreadableFileError as error:
            self.section.reporter.dropped(key, f"{_file_name(source)} {error}", _advice_for(str(error)))
            return False
        mode = mode or ("0755" if file.executable else DEFAULT_MODE)
        return self.add(key, target, file.content, mode=mode, source=source)

    def add(self, key: str, target: str, content: str, *, mode: str = DEFAULT_MODE, source: str = "") -> bool:
        """Add a text as a file. Return whether it was added; if not, it is reported."""
        reporter = self.section.reporter
        path = self._free_path(key, target)
        subject = _file_name(source) if source else "the content"
        if path is None:
            return False
        size = len(content.encode())
        if "\0" in content or len(self.entries) >= MAX_FILES or self._total + size > MAX_TOTAL:
            limits = f"text, at most {MAX_FILES} files and {MAX_TOTAL // 1024} KiB"
            message = f"{subject} does not fit into the ConfigMap of the service ({limits})"
            reporter.dropped(key, message, "Put it into the image, or into a volume")
            return False
        self._total += size
        if reason := self._secrecy_reason(content, (source or path).rpartition("/")[2]):
            secret_key = self.secret.add_file(path.rpartition("/")[2], str(content), self.variables)
            content_from = EnvSource(secret_key_ref=KeyRef(name=self.secret.name, key=secret_key))
            self.entries[path] = ConfigFileEntry(path=path, content_from=content_from, mode=mode)
            reporter.changed(key, f"{subject} {reason}, so it is stored in the Secret {self.secret.name}")
        else:
            self.entries[path] = ConfigFileEntry(path=path, content=str(content), mode=mode)
        return True

    def add_reference(self, key: str, target: str, source: EnvSource, *, mode: str) -> None:
        """Add a file with content from a Secret or ConfigMap; if that is impossible, report it."""
        path = self._free_path(key, target)
        if path is not None and len(self.entries) < MAX_FILES:
            self.entries[path] = ConfigFileEntry(path=path, content_from=source, mode=mode)
        elif path is not None:
            message = f"the service has more than {MAX_FILES} config files"
            self.section.reporter.dropped(key, message, "Put them into a volume")

    def _secrecy_reason(self, content: str, name: str) -> str:
        """Return why the content of a file must not be stored in a ConfigMap, or nothing if it may."""
        if is_secret_name(name) or _SECRET_FILE_NAME.search(name):
            return "has the name of a secret"
        if tracked_secrets(content) or is_secret_text(content) or any(value in content for value in self.secret_values):
            return "contains a secret"
        for match in _CREDENTIAL.finditer(content):
            if is_secret_name(match["name"]) and not is_trivial_value(match["value"]):
                return f"seems to contain credentials (line {content.count(chr(10), 0, match.start('name')) + 1})"
        return ""

    def _free_path(self, key: str, target: str) -> str | None:
        """Return the normalized path of a file, or None if it is invalid or taken, which is reported."""
        path = absolute_path(target)
        if path is None:
            message = "the path in the container is not absolute"
            self.section.reporter.dropped(key, message, "Write a path that begins with /")
        elif path in self.entries:
            self.section.reporter.dropped(key, f"another config file has the path {path}", "Remove one of the two")
            return None
        return path


def convert_devarch_config(section: Section, files: ServiceFiles) -> None:
    """Add the files in `x-devarch-config`, which maps files beside the compose file to paths in the container."""
    raw = section.take(DEVARCH_CONFIG)
    if raw is None:
        return
    if not isinstance(raw, dict):
        fix = "write `name: /path/in/the/container` lines"
        section.reporter.problem(DEVARCH_CONFIG, "the value is not a mapping", fix)
        return
    for name, target in raw.items():
        files.add_from_disk(f"{DEVARCH_CONFIG}.{name}", name, as_text(target))


def convert_configs(section: Section, project: ComposeProject, files: ServiceFiles) -> None:
    """Add the files in `configs`."""
    raw = section.take("configs")
    for index, item in enumerate(raw if isinstance(raw, list) else []):
        key = f"configs[{index}]"
        config = Section(item if isinstance(item, dict) else {"source": item}, section.reporter, key)
        source, target, mode = (config.take(name) for name in ("source", "target", "mode"))
        drop_owner(config)
        config.close()
        if source is None or is_blank(source):
            continue
        path = as_text(target or f"/{as_text(source)}")
        _add_config(key, as_text(source), path, None if mode is None else parse_file_mode(mode), project, files)


def _add_config(key: str, name: str, path: str, mode: str | None, project: ComposeProject, files: ServiceFiles) -> None:
    reporter = files.section.reporter
    definition = project.configs.get(name)
    if not isinstance(definition, dict):
        reporter.dropped(key, f"the config {name} is not defined", "Define it in configs at the top level")
    elif "content" in definition:
        files.add(key, path, as_text(definition["content"]), mode=mode or DEFAULT_MODE)
    elif "file" in definition:
        files.add_from_disk(key, as_text(definition["file"]), path, mode=mode)
    elif "environment" in definition:
        variable = as_text(definition["environment"])
        if (value := project.variables.get(variable)) is None:
            reporter.dropped(key, f"the variable {variable} has no value", "Set it in .env, or import with --env")
        else:
            files.add(key, path, value, mode=mode or DEFAULT_MODE)
    else:
        ref = KeyRef(name=external_name(name, definition), key=name)
        files.add_reference(key, path, EnvSource(config_map_key_ref=ref), mode=mode or DEFAULT_MODE)
        reporter.changed(key, f"the ConfigMap {ref.name} must exist, with the key {name}")


def drop_owner(entry: Section) -> None:
    """Report the owner of a config or secret, because Kubernetes cannot set it."""
    for name in ("uid", "gid"):
        entry.drop(name, "config files belong to root", "Set mode so that the user of the container can read it")


def external_name(name: str, definition: dict[str, Any]) -> str:
    """Return the object name of an external config or secret."""
    external = definition.get("external")
    own_name = external.get("name") if isinstance(external, dict) else definition.get("name")
    return kubernetes_name(as_text(own_name or name))


def is_external(external: object) -> bool:
    """Whether the value of `external` in a definition means that the object exists already."""
    return external is not None and (isinstance(external, dict) or parse_boolean(external) is not False)


def parse_file_mode(value: Any) -> str:
    """Return a file mode in octal; an invalid mode becomes 0644."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 0o777:
        return f"{value:04o}"
    text = as_text(value)
    return text.zfill(4) if re.fullmatch(r"0?[0-7]{3}", text) else DEFAULT_MODE


def absolute_path(text: str) -> str | None:
    """Return a normalized absolute path, or None if the text is not an absolute path."""
    if not text.startswith("/") or "\0" in text or len(text) > _MAX_PATH:
        return None
    return "/" + normpath(text).lstrip("/")


def _file_name(source: str) -> str:
    # A path that contains values of variables is not repeated, because they may be secret.
    return "the file" if tracked_secrets(source) or unresolved_variables(source) else str(source)


def _advice_for(error: str) -> str:
    if error.endswith("directory"):
        return "Mount its files one by one to make them config files; use a named volume for data"
    if error in ("is missing", "is the compose file itself"):
        return "For configuration, create the file and import again; use a named volume for data, the image for code"
    return "Put a copy beside the compose file if it is a small text file, otherwise put it into the image"
