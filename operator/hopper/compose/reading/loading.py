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


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a service is, and the directory that its paths are relative to."""

    path: Path
    service: str
    directory: Path

    @property
    def key(self) -> tuple[Path, str]:
        return _key(self.path), self.service

    def extended(self, extends: Any) -> "_Place | None":
        """Return where the service is that this one extends; None if it does not say so."""
        if isinstance(extends, str):
            return _Place(self.path, extends, self.directory)
        service = extends.get("service") if isinstance(extends, dict) else None
        if not isinstance(service, str) or not service:
            return None
        file = extends.get("file")
        if not isinstance(file, str) or not file or _key(self.directory / file) == _key(self.path):
            return _Place(self.path, service, self.directory)
        path = self.directory / file
        return _Place(path, service, path.parent)


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

    def load(
        self, paths: Iterable[Path], env_files: Iterable[Path] | None = None, directory: Path | None = None
    ) -> Raw:
        """Return the merged model of files that override one another.

        All their paths are relative to the project's `directory`, by default that of the first file, wherever the
        others are. What is wrong becomes a problem in the report.
        """
        paths = list(paths)
        directory = paths[0].parent if directory is None else directory
        self._read_variables(directory, [directory / ".env"] if env_files is None else env_files)
        model: Raw = {}
        for path in paths:
            reporter = self.report.about(str(path))
            if (found := self._file(path, reporter)) is None:
                continue
            report_variables(found.uses, reporter)
            resolved = self._with_extends(path, found.model, reporter, directory)
            # Before merging, so that a file can override what those before it include.
            resolved = self._with_includes(path, resolved, directory)
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

    def _with_extends(self, path: Path, model: Raw, reporter: Reporter, directory: Path) -> Raw:
        services = model.get("services")
        if not isinstance(services, dict):
            return model
        resolved = {
            name: self._service(_Place(path, name, directory), service, reporter, ())
            for name, service in services.items()
        }
        return model | {"services": resolved}

    def _service(self, place: "_Place", service: Any, reporter: Reporter, seen: tuple["_Place", ...]) -> Any:
        """Return a service merged with what it extends, paths relative to the directory of its `place`."""
        extends = service.get("extends") if isinstance(service, dict) else None
        about = self.report.about(reporter.file, reporter.service or place.service)
        if not extends:
            return service
        own = {key: value for key, value in service.items() if key != "extends"}
        wanted = place.extended(extends)
        if wanted is None:
            about.problem("extends", "it does not say which service", "set extends.service")
            return own
        if wanted.key in {one.key for one in (*seen, place)}:
            about.problem("extends", "services extend each other in a circle", "remove one of the extends")
            return own
        base = self._base(wanted, place.path, about)
        if base is None:
            return service
        base = self._service(wanted, base, about, (*seen, place))
        return merge_service(rebase_service(base, os.path.relpath(wanted.directory, place.directory)), own)

    def _base(self, wanted: "_Place", asking: Path, about: Reporter) -> Any:
        """Return the service that another one extends; None if there is none, which is reported by then."""
        path, name = wanted.path, wanted.service
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

    def _with_includes(self, path: Path, model: Raw, directory: Path) -> Raw:
        includes = without_tags(model.get("include"))
        reporter = self.report.about(str(path))
        result = {key: value for key, value in model.items() if key != "include"}
        for entry in includes if isinstance(includes, list) else [includes] if includes is not None else []:
            result = self._including(path, result, entry, reporter, directory)
        return result

    def _including(self, path: Path, model: Raw, entry: Any, reporter: Reporter, directory: Path) -> Raw:
        details = entry if isinstance(entry, dict) else {"path": entry}
        listed = [item for item in _listed(details.get("path")) if item]
        if not listed or (remote := [item for item in listed if item.startswith(_REMOTE)]):
            what = "files from elsewhere are not fetched" if listed and remote else "it names no file"
            reporter.dropped("include", what, "Download the file, and include it by its path")
            return model
        paths = [directory / item for item in listed]
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
        base = directory / own_directory if isinstance(own_directory, str) else paths[0].parent
        env_files = [directory / item for item in _listed(details.get("env_file"))] or [base / ".env"]
        below = Loader(self.files, self.report, self.variables, trail=trail, included=self.included)
        included = below.load(paths, env_files, base)
        return _united(model, rebase_model(included, os.path.relpath(base, directory)), reporter)


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
