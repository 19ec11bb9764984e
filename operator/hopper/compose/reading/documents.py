"""YAML → mappings, lists and scalars, safely: no objects, no endless aliases, duplicates reported."""

from dataclasses import dataclass
from typing import Any

import yaml

from hopper.compose.reading.scalars import plain_scalar
from hopper.compose.report import Reporter

MAX_NODES = 100_000
MAX_DEPTH = 64
_PLAIN = "plain"
_MERGE = "<<"
_STANDARD = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True)
class Override:
    """A value tagged `!override`: it replaces what it is merged into. `!reset` is one without a value."""

    value: Any


class _Loader(yaml.SafeLoader):
    """Keeps plain scalars apart from quoted ones, and leaves their meaning to `scalars`."""

    def scan_to_next_token(self) -> None:
        """Skip what stands between two tokens. Tabs may, but not where a line begins, as YAML says and Go reads it."""
        while True:
            super().scan_to_next_token()
            if self.peek() != "\t" or (self.allow_simple_key and not self.flow_level):
                return
            while self.peek() in " \t":
                self.forward()

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        if kind is yaml.ScalarNode and isinstance(implicit, tuple) and implicit[0]:
            return _PLAIN
        return super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]


class _RefusedError(Exception):
    """Message and fix of a problem with one document."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.message, self.fix = message, fix


def read_documents(text: str, reporter: Reporter) -> list[dict[str, Any]]:
    """Return the documents of a file that are mappings, with the keys as strings.

    What is wrong becomes a problem, without quoting the text: it may hold secrets.
    """
    try:
        nodes = [node for node in yaml.compose_all(text, Loader=_Loader) if node is not None]
        documents = [_Builder(reporter).document(node) for node in nodes]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        reporter.problem("", f"this is not YAML{place} ({error.problem or error.context})", "correct the file there")
    except yaml.YAMLError:
        reporter.problem("", "this is not YAML, but has characters that no text has", "save it as text in UTF-8")
    except _RefusedError as error:
        reporter.problem("", error.message, error.fix)
    except (RecursionError, ValueError, IndexError, OverflowError):
        # The parser's own limits: nesting, and code points that do not exist.
        reporter.problem("", "this YAML is nested too deep, or has impossible escapes", "correct or simplify the file")
    else:
        return [document for document in documents if document]
    return []


class _Builder:
    """Turns one document's nodes into values."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._sizes: dict[int, int] = {}

    def document(self, node: yaml.Node) -> dict[str, Any]:
        self._check_size(node, 0)
        value = self._build(node)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise _RefusedError("this is no compose file: it is not a mapping", "begin with `services:`")
        return value

    def _check_size(self, node: yaml.Node, depth: int) -> int:
        """Count the nodes, aliases written out. Refuses what is too large, too deep, or part of itself."""
        if depth > MAX_DEPTH:
            raise _RefusedError(f"this is nested deeper than {MAX_DEPTH} levels", "simplify the file")
        known = self._sizes.get(id(node))
        if known == 0:
            raise _RefusedError(f"the anchor in {_line(node)} is part of itself", "remove the alias inside it")
        if known is not None:
            return known
        self._sizes[id(node)] = 0
        size = 1 + sum(self._check_size(child, depth + 1) for child in _children(node))
        if size > MAX_NODES:
            raise _RefusedError(f"with its aliases written out this has over {MAX_NODES} values", "simplify the file")
        self._sizes[id(node)] = size
        return size

    def _build(self, node: yaml.Node) -> Any:
        value = self._value(node)
        if node.tag in ("!reset", "!override"):
            return Override(None if node.tag == "!reset" else value)
        if node.tag.startswith("!") and node.tag != "!":
            self._reporter.note("", f"the tag in {_line(node)} means nothing to compose and was ignored")
        return value

    def _value(self, node: yaml.Node) -> Any:
        match node:
            case yaml.MappingNode():
                return self._mapping(node)
            case yaml.SequenceNode():
                return [self._build(child) for child in node.value]
            case _ if node.tag == _PLAIN or (node.tag.startswith(_STANDARD) and not node.tag.endswith(":str")):
                return plain_scalar(node.value)
            case _:
                return _text(node)

    def _mapping(self, node: yaml.MappingNode) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise _RefusedError(f"the key in {_line(key_node)} is no name", "write the key as text")
            key = _text(key_node)
            if key == _MERGE and key_node.tag in (_PLAIN, f"{_STANDARD}merge"):
                merged = self._sources(value_node) | merged
                continue
            if key in own:
                message = f"the key in {_line(key_node)} is there already, and this one wins"
                self._reporter.dropped("", message, "Remove one of the two; docker compose refuses the file")
            own[key] = self._build(value_node)
        return merged | own

    def _sources(self, node: yaml.Node) -> dict[str, Any]:
        """Return what `<<` brings in; of several mappings, the first one wins."""
        result: dict[str, Any] = {}
        for source in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if not isinstance(source, yaml.MappingNode):
                raise _RefusedError(f"`<<` in {_line(source)} merges no mapping", "give it an alias of a mapping")
            result = self._mapping(source) | result
        return result


def _text(node: yaml.Node) -> str:
    """Return a scalar as text; two escapes that stand for one character, as JSON has them, become that."""
    try:
        return str(node.value).encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        message = f"the text in {_line(node)} has half of a character"
        raise _RefusedError(message, "correct the escapes there") from None


def _children(node: yaml.Node) -> list[yaml.Node]:
    match node:
        case yaml.MappingNode():
            return [child for pair in node.value for child in pair]
        case yaml.SequenceNode():
            return list(node.value)
        case _:
            return []


def _line(node: yaml.Node) -> str:
    return f"line {node.start_mark.line + 1}"
