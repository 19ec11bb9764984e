"""Files → one model of a project: documents, variables, override files, `include` and `extends`."""

import os.path
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hopper.compose.errors import UnreadableFileError
from hopper.compose.reading.documents import read_documents
from hopper.compose.reading.dotenv import parse_env
from hopper.compose.reading.files import MAX_COMPOSE_BYTES, Files
from hopper.compose.reading.interpolation import interpolate_tree
from hopper.compose.reading.merge import merge_models, merge_service, without_tags
from hopper.compose.reading.paths import rebase_model, rebase_service
from hopper.compose.reading.text import Text
from hopper.compose.reading.variables import Use, report_variables
from hopper.compose.report import Report, Reporter

Raw = dict[str, Any]

_TOP_LEVEL = frozenset({"version", "name", "services", "include", "volumes", "networks", "configs", "secrets"})
_SERVICE_SIGNS = frozenset({"image", "build", "extends", "command"})
_REMOTE = ("oci://", "https://", "http://", "git@", "ssh://", "git://")
_MAX_INCLUDES = 256


@dataclass(frozen=True, slots=True)
class _File:
    """One file as it is read: its model, paths relative to its own directory, and where it used variables."""

    model: Raw
    uses: tuple[Use, ...]


@dataclass(slots=True)
class Loader:
    """Reads the files of one project. `outside` are the variables that win over those of `.env`."""

    files: Files
    report: Report
    outside: Mapping[str, str]
    variables: dict[str, str] = field(default_factory=dict)
    # The files that led here by `include`.
    trail: tuple[Path, ...] = ()
    # Everything included so far, by whichever file.
    included: list[Path] = field(default_factory=list)
    _read: dict[Path, _File | None] = field(default_factory=dict)

    def load(self, paths: Iterable[Path], env_files: Iterable[Path] | None = None) -> Raw:
        """Return the merged model of files that override one another; paths are relative to the first one's directory.

        What is wrong becomes a problem in the report.
        """
        paths = list(paths)
        directory = paths[0].parent
        self._read_variables(directory, [directory / ".env"] if env_files is None else env_files)
        model: Raw = {}
        for path in paths:
            reporter = self.report.about(str(path))
            if (found := self._file(path, reporter)) is None:
                continue
            report_variables(found.uses, reporter)
            resolved = self._with_extends(path, found.model, reporter)
            # Before merging, so that a file can override what those before it include.
            resolved = self._with_includes(path, resolved)
            resolved = rebase_model(resolved, os.path.relpath(path.parent, directory))
            model = merge_models(model, resolved)
        result: Raw = without_tags(model)
        return result

    def _read_variables(self, directory: Path, env_files: Iterable[Path]) -> None:
        known: dict[str, str] = {"COMPOSE_PROJECT_NAME": directory.absolute().name}
        for path in env_files:
            try:
                text = self.files.read(path, MAX_COMPOSE_BYTES).content
            except UnreadableFileError:
                continue
            parsed = parse_env(text, {**known, **self.outside})
            known |= {name: value for name, value in parsed.variables.items() if value is not None}
            for line in parsed.unreadable:
                self.report.about(str(path)).note("", f"line {line} assigns no variable and was ignored")
        self.variables = {**known, **self.outside}

    def _file(self, path: Path, reporter: Reporter) -> _File | None:
        """Return a file, read once; None if it cannot be used, which is a problem by then."""
        key = _key(path)
        if key not in self._read:
            self._read[key] = self._parse(path, reporter)
        return self._read[key]

    def _parse(self, path: Path, reporter: Reporter) -> _File | None:
        try:
            text = self.files.read(path, MAX_COMPOSE_BYTES).content
        except UnreadableFileError as error:
            fixes = {"UTF-8": "save it as that", "KiB": "split it, and include its parts"}
            fix = next((fixes[end] for end in fixes if str(error).endswith(end)), "check the path")
            reporter.problem("", f"the file {error}", fix)
            return None
        uses: list[Use] = []

        def used(place: tuple[str, ...], value: Text) -> None:
            uses.append(Use(place, value))

        model: Raw = {}
        for document in read_documents(text, reporter):
            wrapped = _with_services(document, reporter)
            model = merge_models(model, interpolate_tree(wrapped, self.variables, used))
        return _File(model, tuple(uses))

    def _with_extends(self, path: Path, model: Raw, reporter: Reporter) -> Raw:
        services = model.get("services")
        if not isinstance(services, dict):
            return model
        resolved = {name: self._service(path, name, service, reporter, ()) for name, service in services.items()}
        return model | {"services": resolved}

    def _service(
        self, path: Path, name: str, service: Any, reporter: Reporter, seen: tuple[tuple[Path, str], ...]
    ) -> Any:
        """Return a service merged with what it extends, paths relative to the directory of `path`."""
        extends = service.get("extends") if isinstance(service, dict) else None
        about = self.report.about(reporter.file, reporter.service or name)
        if not extends:
            return service
        own = {key: value for key, value in service.items() if key != "extends"}
        base_name, base_path = _extended(extends, path)
        if base_name is None:
            about.problem("extends", "it does not say which service", "set extends.service")
            return own
        if (_key(base_path), base_name) in (*seen, (_key(path), name)):
            about.problem("extends", "services extend each other in a circle", "remove one of the extends")
            return own
        base = self._base(base_path, base_name, path, about)
        if base is None:
            return service
        base = self._service(base_path, base_name, base, about, (*seen, (_key(path), name)))
        return merge_service(rebase_service(base, os.path.relpath(base_path.parent, path.parent)), own)

    def _base(self, path: Path, name: str, asking: Path, about: Reporter) -> Any:
        """Return the service that another one extends; None if there is none, which is reported by then."""
        if path != asking and _key(path) not in self._read:
            try:
                self.files.read(path, MAX_COMPOSE_BYTES)
            except UnreadableFileError as error:
                advice = "Put it beside this file and import again, or write out what the service inherits"
                about.dropped("extends", f"the file that it extends {error}", advice)
                return None
        if (found := self._file(path, about)) is None:
            return None
        services = found.model.get("services")
        if not isinstance(services, dict) or name not in services:
            about.problem("extends", f"there is no service {name} in {path.name}", "correct the name")
            return None
        if path != asking:
            report_variables([use for use in found.uses if use.place[:2] == ("services", name)], about)
        return services[name]

    def _with_includes(self, path: Path, model: Raw) -> Raw:
        includes = without_tags(model.get("include"))
        reporter = self.report.about(str(path))
        result = {key: value for key, value in model.items() if key != "include"}
        for entry in includes if isinstance(includes, list) else [includes] if includes is not None else []:
            result = self._including(path, result, entry, reporter)
        return result

    def _including(self, path: Path, model: Raw, entry: Any, reporter: Reporter) -> Raw:
        details = entry if isinstance(entry, dict) else {"path": entry}
        listed = [item for item in _listed(details.get("path")) if item]
        if not listed or (remote := [item for item in listed if item.startswith(_REMOTE)]):
            what = "files from elsewhere are not fetched" if listed and remote else "it names no file"
            reporter.dropped("include", what, "Download the file, and include it by its path")
            return model
        paths = [path.parent / item for item in listed]
        trail = (*self.trail, _key(path))
        if any(_key(wanted) in trail for wanted in paths):
            reporter.problem("include", "files include each other in a circle", "remove one of the includes")
            return model
        self.included.append(paths[0])
        if len(self.included) > _MAX_INCLUDES:
            reporter.problem("include", f"more than {_MAX_INCLUDES} files are included", "include fewer")
            return model
        try:
            self.files.read(paths[0], MAX_COMPOSE_BYTES)
        except UnreadableFileError as error:
            advice = "Put it beside this file and import again"
            reporter.dropped("include", f"the file {listed[0]} {error}", advice)
            return model
        for key in details.keys() - {"path", "env_file", "project_directory"}:
            reporter.dropped(f"include.{key}", "Hopper does not know this key", "Correct its name, or remove it")
        own_directory = details.get("project_directory")
        base = path.parent / own_directory if isinstance(own_directory, str) else paths[0].parent
        env_files = [path.parent / item for item in _listed(details.get("env_file"))] or [base / ".env"]
        below = Loader(self.files, self.report, self.variables, trail=trail, included=self.included)
        return _united(model, rebase_model(below.load(paths, env_files), os.path.relpath(base, path.parent)), reporter)


def _key(path: Path) -> Path:
    """Return a path that is the same for the same file, however it was reached."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - Path.absolute keeps the ..


def _with_services(document: Raw, reporter: Reporter) -> Raw:
    """Return a document with a `services` section; the first format of compose had none."""
    if "services" in document or document.keys() & {"include", "volumes", "networks", "configs", "secrets"}:
        return document
    services = {
        name: entry
        for name, entry in document.items()
        if isinstance(entry, dict) and entry.keys() & _SERVICE_SIGNS and not name.startswith("x-")
    }
    if not services:
        return document
    reporter.note("", "this is the first format of compose, without `services`")
    return {name: entry for name, entry in document.items() if name not in services} | {"services": services}


def _extended(extends: Any, path: Path) -> tuple[str | None, Path]:
    if isinstance(extends, str):
        return extends, path
    if not isinstance(extends, dict):
        return None, path
    service, file = extends.get("service"), extends.get("file")
    name = service if isinstance(service, str) and service else None
    return name, path.parent / file if isinstance(file, str) and file else path


def _listed(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [item for item in values if isinstance(item, str)]


def _united(model: Raw, included: Raw, reporter: Reporter) -> Raw:
    """Return a model with the entries of an included one; what both have and is not equal is a problem."""
    result = dict(model)
    for section, entries in included.items():
        if not isinstance(entries, dict) or not isinstance(result.get(section, {}), dict):
            continue
        own = result.get(section, {})
        for name in own.keys() & entries.keys():
            if own[name] != entries[name]:
                reporter.problem(f"{section}.{name}", "an included file has it, too", "rename one of the two")
        result[section] = entries | own
    return result
