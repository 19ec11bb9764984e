"""The documentation says what the code does: its tables come from the definitions, its links and examples work."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import TypeAdapter

from hopper.api.enums import Phase
from hopper.api.instance import HopperInstance, InstanceSpec, parse_instance
from hopper.api.model import dump
from hopper.api.names import API_VERSION, INSTANCE_KIND
from hopper.cli.main import app
from hopper.controller.hooks import ENTRY_POINTS, Hooks
from hopper.domain.config import config_problems
from hopper.domain.plan import Transition
from tests.pages import PAGES, ROOT, Page
from tests.unit.tables import MEMBERS, TABLES

BLOCKS = [(page, name) for page in PAGES for name in page.blocks]
INSTANCES = [
    pytest.param(document, id=f"{page}:{line}-{document['metadata']['name']}")
    for page in PAGES
    for line, document in page.manifests()
    if document["kind"] == INSTANCE_KIND
]
# Whatever looks like a host: our own API group, those of Kubernetes, the pages of the tools that we name.
HOSTS = {
    *("hopper.dev", "admissionregistration.k8s.io", "apiextensions.k8s.io", "coordination.k8s.io", "events.k8s.io"),
    *("kind.sigs.k8s.io", "kwok.sigs.k8s.io", "networking.k8s.io", "app.kubernetes.io", "example.org"),
    *("kustomize.config.k8s.io", "semver.org", "keepachangelog.com"),
}
HOST = re.compile(r"(?<![\w.-])(?:[a-z0-9-]+\.)+(?:com|dev|io|net|org|cloud)\b(?!\.\w)")
MACHINE_PATH = re.compile(r"(?<![\w.~$}])/(?:Users|home|opt|private|root|srv|tmp|var|work)/")

every_page = pytest.mark.parametrize("page", PAGES, ids=str)


class TestTables:
    @pytest.mark.parametrize(("page", "name"), [block for block in BLOCKS if block[1] in TABLES], ids=str)
    def test_a_generated_table_is_current(self, page: Page, name: str) -> None:
        right = TABLES[name]()
        assert page.blocks[name].strip() == right.strip(), f"{page}: table {name} is out of date: run `make docs`"

    @pytest.mark.parametrize("name", MEMBERS)
    def test_a_written_table_has_a_row_for_each_member(self, name: str) -> None:
        explained = re.findall(r"^\| `(\w+)` \|", "".join(page.blocks.get(name, "") for page in PAGES), re.MULTILINE)
        members = [member.value for member in MEMBERS[name]]
        missing = "".join(f"\n| `{member}` | … |" for member in members if member not in explained)
        assert not missing, f"rows to be written in table {name}:{missing}"
        assert sorted(explained) == sorted(members), f"table {name} explains what does not exist, or twice"

    def test_the_glossary_lists_reasons_fields_and_commands(self) -> None:
        (glossary,) = (page for page in PAGES if page.path.name == "glossary.md")
        assert {"glossary-reasons", "glossary-fields", "glossary-commands"} <= glossary.blocks.keys()

    def test_every_table_is_used(self) -> None:
        assert {name for _, name in BLOCKS} == {*TABLES, *MEMBERS}


class TestLinks:
    @every_page
    def test_links_lead_to_a_page_and_heading(self, page: Page) -> None:
        broken = [link for link in page.links if "://" not in link and not _resolves(page, link)]
        assert not broken

    @every_page
    def test_links_are_relative_or_https(self, page: Page) -> None:
        assert [link for link in page.links if "://" in link and not link.startswith("https://")] == []


def _resolves(page: Page, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.path.parent / path).resolve() if path else page.path
    if not target.is_relative_to(ROOT) or not target.exists():
        return False
    return not anchor or anchor in Page(target).anchors


class TestWords:
    @every_page
    def test_no_machine_is_named(self, page: Page) -> None:
        assert MACHINE_PATH.findall(page.text) == []
        hosts = set(HOST.findall(page.text))
        assert [host for host in hosts if not any(f".{host}".endswith(f".{known}") for known in HOSTS)] == []

    @every_page
    def test_every_environment_variable_is_read_somewhere(self, page: Page) -> None:
        named = set(re.findall(r"\bHOPPER_[A-Z_]+\b", page.text))
        assert named <= _variables((ROOT / "operator", ROOT / "tests"))

    @every_page
    def test_every_make_target_exists(self, page: Page) -> None:
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        commands = (command for command in _commands(page) if command[0] == "make")
        targets = {word for command in commands for word in command[1:] if not word.startswith("-") and "=" not in word}
        assert [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []


def _variables(folders: Iterable[Path]) -> set[str]:
    sources = (path for folder in folders for path in folder.rglob("*.py") if path != Path(__file__))
    return {name for path in sources for name in re.findall(r"\bHOPPER_[A-Z_]+\b", path.read_text(encoding="utf-8"))}


class TestCommands:
    @every_page
    def test_every_verb_and_flag_of_hopper_exists(self, page: Page) -> None:
        wrong = [complaint for command in _commands(page) if (complaint := _complaint(command))]
        assert not wrong


def _commands(page: Page) -> Iterator[list[str]]:
    """Every command on a page that begins with `hopper` or `make`, as words without quotes and substitutions."""
    lines = [line.removeprefix("$ ") for fence in page.fences("", "console", "sh") for line in fence.text.splitlines()]
    for line in (*lines, *page.code):
        for part in re.split(r"\$\(|&&|\|", line):
            try:
                words = shlex.split(part.strip(' )"'), comments=True)
            except ValueError:  # not a command: an apostrophe in a line of output
                continue
            words = [word for word in words if not re.fullmatch(r"[A-Z_]+=.*", word)]
            if words and words[0] in ("hopper", "make") and "=" not in words[0]:
                yield words


def _complaint(command: list[str]) -> str | None:
    if command[0] != "hopper":
        return None
    found: Any = typer.main.get_command(app)
    words = iter(command[1:])
    for word in words:
        word = word.strip("[]")
        if word.startswith("-"):
            names = {name for option in found.params for name in (*option.opts, *option.secondary_opts)}
            if word.split("=")[0] not in {*names, "--help", "-h"}:
                return f"{shlex.join(command)}: there is no {word}"
        elif hasattr(found, "commands") and re.fullmatch(r"[a-z]+", word):
            if word not in found.commands:
                return f"{shlex.join(command)}: there is no {word}"
            found = found.commands[word]
    return None


class TestExamples:
    @pytest.mark.parametrize("document", INSTANCES)
    def test_instance_fits_the_contract(self, document: dict[str, Any]) -> None:
        assert document["apiVersion"] == API_VERSION
        instance = _parse(document)
        assert _lost(document["spec"], dump(TypeAdapter(InstanceSpec), instance.spec)) == []
        assert config_problems(instance) == ()

    @every_page
    def test_python_compiles(self, page: Page) -> None:
        for fence in page.fences("python"):
            compile(fence.text, f"{page}:{fence.line}", "exec")

    async def test_hook(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The worked example keeps what it promises, installed under the name that it says."""
        monkeypatch.setenv("WORKSPACES", str(tmp_path))
        hooks = Hooks([_worked_hook()()])
        first, second, third = (_orchestration(name) for name in ("first", "second", "third"))
        start = [Transition(Phase.CREATED, Phase.STARTING, "DesiredState")]  # type: ignore[arg-type]
        assert [await hooks.before(start, instance) for instance in (first, first, second)] == [None, None, None]
        refusal = await hooks.before(start, third)
        assert refusal is not None
        assert "all 2 workspaces are taken" in refusal.message
        end = [Transition(Phase.STOPPED, Phase.TERMINATED, "DesiredState")]  # type: ignore[arg-type]
        await hooks.after(end, first)
        assert _names(tmp_path) == ["uid-second"]
        assert await hooks.before(start, third) is None


def _worked_hook() -> Any:
    """Return the class that the entry point of the worked example names."""
    fences = [fence for page in PAGES for fence in page.fences("python", "toml")]
    settings = next(tomllib.loads(fence.text) for fence in fences if ENTRY_POINTS in fence.text)
    module, _, name = settings["project"]["entry-points"][ENTRY_POINTS]["workspaces"].partition(":")
    assert settings["tool"]["setuptools"]["py-modules"] == [module]
    source = next(fence.text for fence in fences if f"class {name}" in fence.text)
    namespace: dict[str, Any] = {"__name__": module}
    exec(source, namespace)
    return namespace[name]


def _names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def _orchestration(name: str) -> HopperInstance:
    return _parse({"metadata": {"name": name}, "spec": {"scope": "Orchestration", "parentRef": {"name": "web"}}})


def _parse(document: dict[str, Any]) -> HopperInstance:
    """Read a manifest as if the API server had taken it in."""
    name = document["metadata"]["name"]
    server = {"namespace": "default", "uid": f"uid-{name}", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return parse_instance({**document, "metadata": {**document["metadata"], **server}})


def _lost(written: Any, understood: Any, path: str = "spec") -> list[str]:
    """Name the fields that the models do not know: they ignore them."""
    if not isinstance(written, dict):
        return []
    if not isinstance(understood, dict):
        return [path]
    unknown = [f"{path}.{key}" for key in written.keys() - understood.keys()]
    known = written.keys() & understood.keys()
    return unknown + [lost for key in known for lost in _lost(written[key], understood[key], f"{path}.{key}")]
