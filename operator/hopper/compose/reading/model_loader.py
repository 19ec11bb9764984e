"""Loading of the model of a project: documents, variables, override files, `include` and `extends`."""

import os.path
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hopper.compose.reading.dotenv import parse_env_file
from hopper.compose.reading.file_readers import MAX_COMPOSE_BYTES, FileReader, UnreadableFileError
from hopper.compose.reading.interpolation import VariableUse, interpolate_tree, report_variable_uses
from hopper.compose.reading.merge import apply_tags, merge_models, merge_service
from hopper.compose.reading.relative_paths import rebase_model, rebase_service
from hopper.compose.reading.tracked_text import TrackedText
from hopper.compose.reading.yaml_documents import ComposeMapping, read_compose_documents
from hopper.compose.report import Report, Reporter
from hopper.compose.section import EXTENSION_PREFIX

_FORMAT_2_SECTIONS = frozenset({"services", "include", "volumes", "networks", "configs", "secrets"})
# Keys by which an entry at the top level is recognized as a service.
_SERVICE_KEYS = frozenset({"image", "build", "extends", "command"})
_REMOTE_PREFIXES = ("oci://", "https://", "http://", "git@", "ssh://", "git://")
_MAX_INCLUDES = 256


@dataclass(frozen=True, slots=True)
class _ComposeFile:
    """A compose file: its model, with paths relative to its own directory, and the uses of variables in it."""

    model: ComposeMapping
    variable_uses: tuple[VariableUse, ...]


@dataclass(frozen=True, slots=True)
class _ServiceLocation:
    """The file that contains a service, the name of the service, and the directory of its relative paths."""

    path: Path
    service: str
    directory: Path

    @property
    def key(self) -> tuple[Path, str]:
        return _normalize(self.path), self.service

    def extended_service(self, extends: Any) -> "_ServiceLocation | None":
        """Return the location of the service that `extends` refers to, or None if it names no service."""
        if isinstance(extends, str):
            return _ServiceLocation(self.path, extends, self.directory)
        service = extends.get("service") if isinstance(extends, dict) else None
        if not isinstance(service, str) or not service:
            return None
        file = extends.get("file")
        if not isinstance(file, str) or not file or _normalize(self.directory / file) == _normalize(self.path):
            return _ServiceLocation(self.path, service, self.directory)
        path = self.directory / file
        return _ServiceLocation(path, service, path.parent)


@dataclass(slots=True)
class ModelLoader:
    """Loader of the model of one project.

    Attributes:
        files: Reader of the files.
        report: Report for problems and findings.
        outside: Variables that take precedence over those in `.env`.
        variables: All variables, after `load`.
        including: Files that led here by `include`, to find cycles.
        included: All files included so far, shared with the loaders of included files.
    """

    files: FileReader
    report: Report
    outside: Mapping[str, str]
    variables: dict[str, str] = field(default_factory=dict)
    including: tuple[Path, ...] = ()
    included: list[Path] = field(default_factory=list)
    _files_read: dict[Path, _ComposeFile | None] = field(default_factory=dict)

    def load(
        self, paths: Iterable[Path], env_files: Iterable[Path] | None = None, directory: Path | None = None
    ) -> ComposeMapping:
        """Return the merged model of a compose file and its override files; problems are reported.

        The paths in all files are relative to `directory`, which defaults to that of the first file.
        """
        paths = list(paths)
        directory = paths[0].parent if directory is None else directory
        self._read_variables(directory, [directory / ".env"] if env_files is None else env_files)
        model: ComposeMapping = {}
        for path in paths:
            reporter = self.report.reporter_for(str(path))
            if (file := self._read_file(path, reporter)) is None:
                continue
            report_variable_uses(file.variable_uses, reporter)
            resolved = self._resolve_extends(path, file.model, reporter, directory)
            # Included before merging, so that a file can override the services that earlier files include.
            resolved = self._resolve_includes(path, resolved, directory)
            model = merge_models(model, resolved)
        result: ComposeMapping = apply_tags(model)
        return result

    def _read_variables(self, directory: Path, env_files: Iterable[Path]) -> None:
        known: dict[str, str] = {"COMPOSE_PROJECT_NAME": directory.absolute().name}
        for path in env_files:
            try:
                text = self.files.read(path, MAX_COMPOSE_BYTES).content
            except UnreadableFileError:
                continue
            parsed = parse_env_file(text, {**known, **self.outside})
            known |= {name: value for name, value in parsed.variables.items() if value is not None}
            for line in parsed.invalid_lines:
                self.report.reporter_for(str(path)).note("", f"line {line} is not an assignment, and was ignored")
        self.variables = {**known, **self.outside}

    def _read_file(self, path: Path, reporter: Reporter) -> _ComposeFile | None:
        """Return a file, which is read only once, or None if it cannot be used, which is reported."""
        key = _normalize(path)
        if key not in self._files_read:
            self._files_read[key] = self._parse_file(path, reporter)
        return self._files_read[key]

    def _parse_file(self, path: Path, reporter: Reporter) -> _ComposeFile | None:
        try:
            text = self.files.read(path, MAX_COMPOSE_BYTES).content
        except UnreadableFileError as error:
            fixes = {"UTF-8": "save it as UTF-8", "KiB": "split it, and include its parts"}
            fix = next((fixes[ending] for ending in fixes if str(error).endswith(ending)), "check the path")
            reporter.problem("", f"the file {error}", fix)
            return None
        uses: list[VariableUse] = []

        def record(place: tuple[str, ...], value: TrackedText) -> None:
            uses.append(VariableUse(place, value))

        model: ComposeMapping = {}
        for document in read_compose_documents(text, reporter):
            document = _convert_format_1(document, reporter)
            model = merge_models(model, interpolate_tree(document, self.variables, record))
        return _ComposeFile(model, tuple(uses))

    def _resolve_extends(
        self, path: Path, model: ComposeMapping, reporter: Reporter, directory: Path
    ) -> ComposeMapping:
        services = model.get("services")
        if not isinstance(services, dict):
            return model
        resolved = {
            name: self._resolve_service(_ServiceLocation(path, name, directory), service, reporter, ())
            for name, service in services.items()
        }
        return model | {"services": resolved}

    def _resolve_service(
        self, location: _ServiceLocation, service: Any, reporter: Reporter, seen: tuple[_ServiceLocation, ...]
    ) -> Any:
        """Return a service merged with the one it extends, with paths relative to the directory of its location.

        `seen` holds the locations of the services that extend this one.
        """
        extends = service.get("extends") if isinstance(service, dict) else None
        if not extends:
            return service
        reporter = self.report.reporter_for(reporter.file, reporter.service or location.service)
        own = {key: value for key, value in service.items() if key != "extends"}
        extended = location.extended_service(extends)
        if extended is None:
            reporter.problem("extends", "it names no service", "set extends.service")
            return own
        if extended.key in {other.key for other in (*seen, location)}:
            reporter.problem("extends", "the services extend each other in a cycle", "remove one of the extends")
            return own
        base = self._read_extended_service(extended, location.path, reporter)
        if base is None:
            return service
        base = self._resolve_service(extended, base, reporter, (*seen, location))
        return merge_service(rebase_service(base, os.path.relpath(extended.directory, location.directory)), own)

    def _read_extended_service(self, extended: _ServiceLocation, extending_file: Path, reporter: Reporter) -> Any:
        """Return the service that another one extends, or None if it cannot be read, which is reported."""
        path, name = extended.path, extended.service
        if path != extending_file and _normalize(path) not in self._files_read:
            try:
                self.files.read(path, MAX_COMPOSE_BYTES)
            except UnreadableFileError as error:
                advice = "Put it beside this file and import again, or write out the inherited keys"
                reporter.dropped("extends", f"the extended file {error}", advice)
                return None
        if (file := self._read_file(path, reporter)) is None:
            return None
        services = file.model.get("services")
        if not isinstance(services, dict) or name not in services:
            reporter.problem("extends", f"{path.name} contains no service {name}", "correct the name")
            return None
        if path != extending_file:
            uses = [use for use in file.variable_uses if use.place[:2] == ("services", name)]
            report_variable_uses(uses, reporter)
        return services[name]

    def _resolve_includes(self, path: Path, model: ComposeMapping, directory: Path) -> ComposeMapping:
        includes = apply_tags(model.get("include"))
        reporter = self.report.reporter_for(str(path))
        result = {key: value for key, value in model.items() if key != "include"}
        for entry in includes if isinstance(includes, list) else [includes] if includes is not None else []:
            result = self._include(path, result, entry, reporter, directory)
        return result

    def _include(
        self, path: Path, model: ComposeMapping, entry: Any, reporter: Reporter, directory: Path
    ) -> ComposeMapping:
        """Return the model of a file with the files of one entry in `include` added."""
        details = entry if isinstance(entry, dict) else {"path": entry}
        listed = [item for item in _strings(details.get("path")) if item]
        if not listed or any(item.startswith(_REMOTE_PREFIXES) for item in listed):
            message = "remote files are not downloaded" if listed else "the entry names no file"
            reporter.dropped("include", message, "Download the file, and include it by its path")
            return model
        paths = [directory / item for item in listed]
        including = (*self.including, _normalize(path))
        if any(_normalize(wanted) in including for wanted in paths):
            reporter.problem("include", "the files include each other in a cycle", "remove one of the includes")
            return model
        self.included.append(paths[0])
        if len(self.included) > _MAX_INCLUDES:
            reporter.problem("include", f"more than {_MAX_INCLUDES} files are included", "include fewer files")
            return model
        try:
            self.files.read(paths[0], MAX_COMPOSE_BYTES)
        except UnreadableFileError as error:
            reporter.dropped("include", f"the file {listed[0]} {error}", "Put it beside this file and import again")
            return model
        for key in details.keys() - {"path", "env_file", "project_directory"}:
            reporter.dropped(f"include.{key}", "Hopper does not know this key", "Correct its name, or remove it")
        own_directory = details.get("project_directory")
        base = directory / own_directory if isinstance(own_directory, str) else paths[0].parent
        env_files = [directory / item for item in _strings(details.get("env_file"))] or [base / ".env"]
        loader = ModelLoader(self.files, self.report, self.variables, including=including, included=self.included)
        included = loader.load(paths, env_files, base)
        return _add_included(model, rebase_model(included, os.path.relpath(base, directory)), reporter)


def _normalize(path: Path) -> Path:
    """Return the absolute path without `..`, which is the same for all relative paths to a file."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - Path.absolute keeps the ..


def _convert_format_1(document: ComposeMapping, reporter: Reporter) -> ComposeMapping:
    """Return a document in the first format of compose, with the services at the top level, in the current format."""
    if document.keys() & _FORMAT_2_SECTIONS:
        return document
    services = {
        name: entry
        for name, entry in document.items()
        if isinstance(entry, dict) and entry.keys() & _SERVICE_KEYS and not name.startswith(EXTENSION_PREFIX)
    }
    if not services:
        return document
    reporter.note("", "the file has the first format of compose, without `services`")
    return {name: entry for name, entry in document.items() if name not in services} | {"services": services}


def _strings(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [item for item in values if isinstance(item, str)]


def _add_included(model: ComposeMapping, included: ComposeMapping, reporter: Reporter) -> ComposeMapping:
    """Return a model with the entries of an included one; different entries of the same name are a problem."""
    result = dict(model)
    for section, entries in included.items():
        if not isinstance(entries, dict) or not isinstance(result.get(section, {}), dict):
            continue
        own = result.get(section, {})
        for name in own.keys() & entries.keys():
            if own[name] != entries[name]:
                message = "an included file contains another entry of this name"
                reporter.problem(f"{section}.{name}", message, "rename one of the two")
        result[section] = entries | own
    return result
