"""The style guide in CONTRIBUTING.md, as far as a machine can check it.

Docstrings, comments and CRD descriptions must not hide their subject, use a banned word, or run on. Classes
and public functions have names of their own.
"""

from __future__ import annotations

import ast
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hopper.api.crd import KINDS, custom_resource_definition

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "operator" / "hopper"
# This file names the banned words.
SOURCES = sorted(
    path for folder in (PACKAGE, ROOT / "tests") for path in folder.rglob("*.py") if path != Path(__file__)
)
LONGEST_SENTENCE = 33  # words; the guide asks for about 25

HIDDEN_SUBJECT = re.compile(
    r"^(What|Who|Whom|Whose|Which|That|It|One|Those|Where|Why|How|Tells?|Says?|Knows?|Have|Let|Has)\b"
)
# Pattern → what to write instead.
BANNED = {
    r"\bTells? (whether|who|what|of)\b": "Whether …, Return …",
    r"\b([Ww]hom|that which|of (which|whom|whose))\b": "the subject by its name",
    r"\b([Ww]hoever|[Ss]omebody|[Nn]obody|[Aa]nybody|[Ee]verybody)\b": "the actor: a client, no gateway, every caller",
    r"\b(anew|whereupon|thereby|therein|thereupon|hereby|thereof)\b": "again, then, in it",
    r"\b[Ss]eats?\b": "slot",
    r"\b[Cc]ircles?\b": "cycle",
    r"\bnews\b": "watch event, change",
    r"\b([Tt]ak(e|es|ing|en)) in\b": "list, store, apply",
    r"\b([Hh]ears?|[Hh]eard of)\b": "the call or event by its name",
    r"\blook(ed|s)? (at )?again\b": "requeue",
    r"\b(last words|traces)\b": "snapshot, final output",
    r"\b(is|are|was|were) to (be|have|go|come|run|hold)\b": "will be, must be",
    r"\b(has|have|had) (to do|to say|nothing to)\b": "plain words",
}
# Names that a framework asks for, or that every verb of the command line has.
SHARED_NAMES = {"main", "run"}


def sentences(text: str) -> Iterator[str]:
    text = re.sub(r"`[^`]*`", "X", text)
    for paragraph in re.split(r"\n\s*\n|\n\s*(?:[-*]|\d+\.|[A-Z]\w+:)\s", text):
        yield from re.split(r"(?<=[.!?:;])\s+", " ".join(paragraph.split()))


def complaints(text: str, *, opens: bool = True) -> Iterator[str]:
    """Yield what is wrong with a text; `opens` says that it begins with its own subject, as a docstring does."""
    if opens and (hidden := HIDDEN_SUBJECT.match(text.strip())):
        yield f"begins with {hidden[0]!r}: name the subject"
    for pattern, better in BANNED.items():
        if found := re.search(pattern, text):
            yield f"{found[0]!r}: write {better}"
    for sentence in sentences(text):
        if len(sentence.split()) > LONGEST_SENTENCE:
            yield f"{len(sentence.split())} words in one sentence: {sentence[:60]}…"


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield getattr(node, "lineno", 1), text


def comments(path: Path) -> Iterator[tuple[int, str]]:
    """Yield each block of comments, as one text."""
    block: list[str] = []
    start = last = 0
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type == tokenize.COMMENT:
                if block and token.start[0] != last + 1:
                    yield start, " ".join(block)
                    block = []
                start = start if block else token.start[0]
                block.append(token.string.lstrip("#: "))
                last = token.start[0]
    if block:
        yield start, " ".join(block)


def vague_variables(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        is_stored = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == "it"
        if is_stored or (isinstance(node, ast.arg) and node.arg == "it"):
            yield getattr(node, "lineno", 1)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_reads_as_the_style_guide_asks(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [f"{line}: {complaint}" for line, text in docstrings(tree) for complaint in complaints(text)]
    found += [f"{line}: {complaint}" for line, text in comments(path) for complaint in complaints(text, opens=False)]
    found += [f"{line}: a variable called 'it': name it after the thing" for line in vague_variables(tree)]
    assert not found, "\n".join(found)


def _descriptions(schema: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(schema, dict):
        if isinstance(schema.get("description"), str):
            yield path, schema["description"]
        for key, value in schema.items():
            yield from _descriptions(value, f"{path}.{key}")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.crd_name)
def test_crd_descriptions_read_as_the_style_guide_asks(kind: Any) -> None:
    schema = custom_resource_definition(kind)["spec"]["versions"][0]["schema"]
    described = list(_descriptions(schema, ""))
    assert described
    found = [f"{path}: {complaint}" for path, text in described for complaint in complaints(text)]
    found += [
        f"{path}: no sentence: {text!r}" for path, text in described if not re.match(r"[A-Z`].*\.$", text, re.DOTALL)
    ]
    assert not found, "\n".join(found)


def test_no_two_classes_or_public_functions_share_a_name() -> None:
    places: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_")
            if isinstance(node, ast.ClassDef) or is_function:
                places[node.name].append(str(path.relative_to(PACKAGE)))
    shared = {name: files for name, files in places.items() if len(files) > 1 and name not in SHARED_NAMES}
    assert not shared


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("Tell whether it runs.", "Whether"),
        ("What the user wants.", "name the subject"),
        ("Return the seats that are left.", "slot"),
        ("Whom a token belongs to.", "name the subject"),
        ("Return " + "very " * 40 + "much.", "words in one sentence"),
    ],
)
def test_the_check_finds(text: str, complaint: str) -> None:
    assert any(complaint in found for found in complaints(text))


def test_the_check_accepts_plain_english() -> None:
    assert not list(complaints("Return the instances affected by a rename. Each is yielded once."))
