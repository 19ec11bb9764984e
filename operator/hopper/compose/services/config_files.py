"""Files that are placed into the container: single files that were bind-mounted, `configs`, `x-devarch-config`."""

import re
from dataclasses import dataclass, field
from posixpath import normpath
from typing import Any

from hopper.api.service import ConfigFileEntry, EnvSource, KeyRef
from hopper.compose.errors import UnreadableFileError
from hopper.compose.names import object_name
from hopper.compose.project import Project
from hopper.compose.reading.syntax import switch
from hopper.compose.reading.text import as_text, is_blank, secrets_in, unresolved_in
from hopper.compose.secret_names import is_secret_name, is_secret_text, is_switch
from hopper.compose.section import EXTENSION, Section
from hopper.compose.services.vault import Vault

MAX_FILE = 256 * 1024
MAX_FILES = 64
DEFAULT_MODE = "0644"
# A ConfigMap holds 1 MiB; some of it goes to names.
MAX_TOTAL = 960 * 1024
DEVARCH_CONFIG = f"{EXTENSION}devarch-config"
_SECRET_FILE = re.compile(r"keyfile$|^\.?pgpass|^id_(rsa|dsa|ecdsa|ed25519)$", re.IGNORECASE)
_CREDENTIAL = re.compile(
    r"(?im)^[^#\n]{0,80}(?P<name>(?:password|passwd|secret|token|api_?key)\w{0,40})[\"']?\s{0,8}[:=]\s{0,8}[\"']?"
    r"(?P<value>[^\s\"'$]\S{0,512})"
)


@dataclass(slots=True)
class ConfigFiles:
    """The files of one service. Those that hold secrets, such as the `known` ones, are kept in its `vault`.

    `variables` are the names of its variables, which are also keys of that.
    """

    section: Section
    project: Project
    known: tuple[str, ...]
    vault: Vault
    variables: set[str]
    entries: dict[str, ConfigFileEntry] = field(default_factory=dict)
    _total: int = 0

    def from_disk(self, key: str, source: str, target: str, *, mode: str | None = None) -> bool:
        """Place a file that lies beside the compose file. Whether it was; if not, that is reported."""
        try:
            found = self.project.read(source, MAX_FILE)
        except UnreadableFileError as error:
            self.section.about.dropped(key, f"{_called(source)} {error}", _what_to_do(str(error)))
            return False
        mode = mode or ("0755" if found.executable else "0644")
        return self.place(key, target, found.content, mode=mode, source=source)

    def place(self, key: str, target: str, content: str, *, mode: str = "0644", source: str = "") -> bool:
        """Place a text at a path. Whether it was; if not, that is reported."""
        about = self.section.about
        path = self._free(key, target)
        what = _called(source) if source else "the content"
        if path is None:
            return False
        size = len(content.encode())
        if "\0" in content or len(self.entries) >= MAX_FILES or self._total + size > MAX_TOTAL:
            about.dropped(key, f"{what} does not fit beside the others", "Put it into the image, or into a volume")
            return False
        self._total += size
        if why := self._secrecy(content, (source or path).rpartition("/")[2]):
            kept = self.vault.file(path.rpartition("/")[2], str(content), self.variables)
            source_key = EnvSource(secret_key_ref=KeyRef(name=self.vault.name, key=kept))
            self.entries[path] = ConfigFileEntry(path=path, content_from=source_key, mode=mode)
            about.changed(key, f"{what} {why}, and is kept in the Secret {self.vault.name}")
        else:
            self.entries[path] = ConfigFileEntry(path=path, content=str(content), mode=mode)
        return True

    def _secrecy(self, content: str, name: str) -> str:
        """Return why a text, from a file of that name, must not get into a ConfigMap; nothing where it may."""
        if is_secret_name(name) or _SECRET_FILE.search(name):
            return "is secret by its name"
        if secrets_in(content) or is_secret_text(content) or any(secret in content for secret in self.known):
            return "holds a secret"
        for match in _CREDENTIAL.finditer(content):
            if is_secret_name(match["name"]) and not is_switch(match["value"]):
                return f"looks as if it held credentials (line {content.count(chr(10), 0, match.start('name')) + 1})"
        return ""

    def refer(self, key: str, target: str, source: EnvSource, *, mode: str) -> None:
        """Place a file that comes from a Secret or ConfigMap. Where that cannot be, it is reported."""
        path = self._free(key, target)
        if path is not None and len(self.entries) < MAX_FILES:
            self.entries[path] = ConfigFileEntry(path=path, content_from=source, mode=mode)
        elif path is not None:
            self.section.about.dropped(key, f"there are more than {MAX_FILES} files", "Put them into a volume")

    def _free(self, key: str, target: str) -> str | None:
        """Return the path for a file; None where there can be none, which is reported."""
        path = absolute_path(target)
        if path is None:
            advice = "Write one that begins with /"
            self.section.about.dropped(key, "its place in the container is no absolute path", advice)
        elif path in self.entries:
            self.section.about.dropped(key, f"there is a file at {path} already", "Remove one of the two")
            return None
        return path


def convert_devarch_config(section: Section, files: ConfigFiles) -> None:
    """Place the files that `x-devarch-config` names: name beside the compose file → path in the container."""
    raw = section.take(DEVARCH_CONFIG)
    if raw is None:
        return
    if not isinstance(raw, dict):
        section.about.problem(DEVARCH_CONFIG, "this is no mapping", "write `name: /path/in/the/container` lines")
        return
    for name, target in raw.items():
        files.from_disk(f"{DEVARCH_CONFIG}.{name}", name, as_text(target))


def convert_configs(section: Section, project: Project, files: ConfigFiles) -> None:
    """Place the `configs` of a service."""
    raw = section.take("configs")
    for index, item in enumerate(raw if isinstance(raw, list) else []):
        key = f"configs[{index}]"
        inner = Section(item if isinstance(item, dict) else {"source": item}, section.about, key)
        source, target, mode = (inner.take(name) for name in ("source", "target", "mode"))
        for name in ("uid", "gid"):
            inner.drop(name, "files in a container belong to root", "Set mode so that its user can read it")
        inner.close()
        if source is None or is_blank(source):
            continue
        path = as_text(target or f"/{as_text(source)}")
        octal = None if mode is None else file_mode(mode)
        _place_config(key, as_text(source), path, octal, project, files)


def _place_config(key: str, name: str, path: str, mode: str | None, project: Project, files: ConfigFiles) -> None:
    about = files.section.about
    definition = project.configs.get(name)
    if not isinstance(definition, dict):
        about.dropped(key, f"there is no config {name} in the file", "Add it below configs, at the top level")
    elif "content" in definition:
        files.place(key, path, as_text(definition["content"]), mode=mode or DEFAULT_MODE)
    elif "file" in definition:
        files.from_disk(key, as_text(definition["file"]), path, mode=mode)
    elif "environment" in definition:
        variable = as_text(definition["environment"])
        if (value := project.variables.get(variable)) is None:
            about.dropped(key, f"the variable {variable} has no value", "Set it in .env, or give --env")
        else:
            files.place(key, path, value, mode=mode or DEFAULT_MODE)
    else:
        external = definition.get("external")
        own = external.get("name") if isinstance(external, dict) else definition.get("name")
        ref = KeyRef(name=object_name(as_text(own or name)), key=name)
        files.refer(key, path, EnvSource(config_map_key_ref=ref), mode=mode or DEFAULT_MODE)
        about.changed(key, f"the ConfigMap {ref.name} must exist, with the key {name}")


def file_mode(value: Any) -> str:
    """Return a mode in octal; 0644 where there is none that makes sense."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 0o777:
        return f"{value:04o}"
    text = as_text(value)
    return text.zfill(4) if re.fullmatch(r"0?[0-7]{3}", text) else "0644"


def absolute_path(text: str) -> str | None:
    """Return an absolute path in its shortest form; None for what is none."""
    if not text.startswith("/") or "\0" in text or len(text) > 1024:
        return None
    return "/" + normpath(text).lstrip("/")


def is_off(definition: object) -> bool:
    """Tell whether an `external` says no."""
    return definition is None or (not isinstance(definition, dict) and switch(definition) is False)


def _called(source: str) -> str:
    # A path made of secret-looking variables is not repeated.
    return "the file" if secrets_in(source) or unresolved_in(source) else str(source)


def _what_to_do(error: str) -> str:
    if error.endswith("directory"):
        return "Name its files one by one to make them config files; use a named volume for data"
    if error in ("is missing", "is the compose file itself"):
        return "Put configuration there and import again; use a named volume for data, the image for code"
    return "Put a copy beside the compose file if it is small text, or into the image if not"
