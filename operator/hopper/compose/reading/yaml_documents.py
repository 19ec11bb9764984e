"""Parser of YAML as docker compose reads it, limited in size and depth, without objects.

docker compose reads plain scalars as YAML 1.2 does, with the octal numbers of YAML 1.1. So `yes`, `on` and `22:22` are
text, while YAML 1.1 reads a boolean and a number of seconds.
"""

import math
import re
from dataclasses import dataclass
from typing import Any

import yaml

from hopper.compose.report import Reporter

MAX_NODES = 100_000
MAX_DEPTH = 64
_PLAIN_TAG = "plain"
_MERGE_KEY = "<<"
_STANDARD_TAG = "tag:yaml.org,2002:"
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
_OCTAL = re.compile(r"([-+]?)0o?([0-7][0-7_]*)")
_HEXADECIMAL = re.compile(r"([-+]?)0x([0-9a-fA-F][0-9a-fA-F_]*)")
_BINARY = re.compile(r"([-+]?)0b([01][01_]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITY = re.compile(r"([-+]?)\.(inf|Inf|INF)")
# Longer numbers are identifiers, and Python refuses to convert very long ones.
_MAX_DIGITS = 64

# A mapping of a compose file: a model, a service, or a mapping inside a service.
ComposeMapping = dict[str, Any]
Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class OverrideTag:
    """A value with the tag `!override`, which replaces the value it is merged into.

    The tag `!reset` is an override without a value.
    """

    value: Any


# PyYAML quotes names from the file. A password that begins with `*`, `&` or `!` looks like such a name.
_QUOTED_TEXT = re.compile(r"\b(alias|anchor|tag|tag handle) ['\"].*", re.DOTALL)


def read_compose_documents(text: str, reporter: Reporter) -> list[ComposeMapping]:
    """Return the documents of a file that are mappings, with all keys as strings.

    Invalid YAML is reported as a problem. Problems do not quote the text, because it may contain secrets.
    """
    try:
        nodes = [node for node in yaml.compose_all(text, Loader=_NodeLoader) if node is not None]
        documents = [_ValueBuilder(reporter).build_document(node) for node in nodes]
    except yaml.MarkedYAMLError as error:
        reporter.problem("", f"the file is {describe_yaml_error(error)}", "correct it there")
    except yaml.YAMLError:
        message = "the file is not valid YAML: it contains characters that are not text"
        reporter.problem("", message, "save it as text in UTF-8")
    except _RefusedDocumentError as error:
        reporter.problem("", error.message, error.fix)
    except (RecursionError, ValueError, IndexError, OverflowError):
        # PyYAML raises these for deep nesting, and for escapes of code points that do not exist.
        message = "the YAML is nested too deeply or contains invalid escapes"
        reporter.problem("", message, "correct or simplify the file")
    else:
        return [document for document in documents if document]
    return []


def describe_yaml_error(error: yaml.MarkedYAMLError) -> str:
    """Return what is wrong with a YAML file and where, without any text of the file, which may contain secrets."""
    mark = error.problem_mark or error.context_mark
    place = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    problem = _QUOTED_TEXT.sub(r"\1", error.problem or error.context or "syntax error")
    return f"not valid YAML{place} ({problem})"


def parse_plain_scalar(text: str) -> Scalar:
    """Return the value of an unquoted scalar."""
    if text in _NULL:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if len(text) <= _MAX_DIGITS and (text[0].isdigit() or text[0] in "-+."):
        return _parse_number(text)
    return text


def _parse_number(text: str) -> Scalar:
    if _DECIMAL.fullmatch(text):
        return int(text.replace("_", ""))
    for pattern, base in ((_OCTAL, 8), (_HEXADECIMAL, 16), (_BINARY, 2)):
        if match := pattern.fullmatch(text):
            return int(match[1] + match[2].replace("_", ""), base)
    if match := _INFINITY.fullmatch(text):
        return -math.inf if match[1] == "-" else math.inf
    if text in (".nan", ".NaN", ".NAN"):
        return math.nan
    # A number with leading zeros that is not octal, such as 08, stays text.
    if _FLOAT.fullmatch(text) and not re.match(r"[-+]?0[0-9]", text):
        number = float(text)
        return number if math.isfinite(number) else text
    return text


class _NodeLoader(yaml.SafeLoader):
    """Loader that marks plain scalars with a tag of their own, so that `parse_plain_scalar` can interpret them."""

    def scan_to_next_token(self) -> None:
        """Skip the space between two tokens, including tabs.

        PyYAML refuses these tabs, but YAML and docker compose allow them, except at the beginning of a line.
        """
        while True:
            super().scan_to_next_token()
            if self.peek() != "\t" or (self.allow_simple_key and not self.flow_level):
                return
            while self.peek() in " \t":
                self.forward()

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        if kind is yaml.ScalarNode and isinstance(implicit, tuple) and implicit[0]:
            return _PLAIN_TAG
        return super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]


class _RefusedDocumentError(Exception):
    """Error for a document that is refused, with the problem and the fix."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.message, self.fix = message, fix


class _ValueBuilder:
    """Builder of the values of one document from its nodes."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._sizes: dict[int, int] = {}

    def build_document(self, node: yaml.Node) -> ComposeMapping:
        self._check_size(node, 0)
        value = self._build(node)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise _RefusedDocumentError("a compose file must be a mapping, and this is not", "begin with `services:`")
        return value

    def _check_size(self, node: yaml.Node, depth: int) -> int:
        """Return the number of nodes with all aliases expanded.

        Raises an error for a node that is too large or too deep, or that contains itself.
        """
        if depth > MAX_DEPTH:
            raise _RefusedDocumentError(f"the file is nested deeper than {MAX_DEPTH} levels", "simplify it")
        known_size = self._sizes.get(id(node))
        if known_size == 0:
            raise _RefusedDocumentError(f"the anchor in {_line(node)} contains itself", "remove the alias inside it")
        if known_size is not None:
            return known_size
        self._sizes[id(node)] = 0
        size = 1 + sum(self._check_size(child, depth + 1) for child in _children(node))
        if size > MAX_NODES:
            message = f"the file has more than {MAX_NODES} values with its aliases expanded"
            raise _RefusedDocumentError(message, "simplify it")
        self._sizes[id(node)] = size
        return size

    def _build(self, node: yaml.Node) -> Any:
        value = self._build_untagged(node)
        if node.tag in ("!reset", "!override"):
            return OverrideTag(None if node.tag == "!reset" else value)
        if node.tag.startswith("!") and node.tag != "!":
            self._reporter.note("", f"the tag in {_line(node)} is unknown to compose, and was ignored")
        return value

    def _build_untagged(self, node: yaml.Node) -> Any:
        match node:
            case yaml.MappingNode():
                return self._build_mapping(node)
            case yaml.SequenceNode():
                return [self._build(child) for child in node.value]
            case _ if node.tag == _PLAIN_TAG or (node.tag.startswith(_STANDARD_TAG) and not node.tag.endswith(":str")):
                return parse_plain_scalar(node.value)
            case _:
                return _scalar_text(node)

    def _build_mapping(self, node: yaml.MappingNode) -> ComposeMapping:
        own: ComposeMapping = {}
        merged: ComposeMapping = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise _RefusedDocumentError(f"the key in {_line(key_node)} is not text", "write the key as text")
            key = _scalar_text(key_node)
            if key == _MERGE_KEY and key_node.tag in (_PLAIN_TAG, f"{_STANDARD_TAG}merge"):
                merged = self._merged_mappings(value_node) | merged
                continue
            if key in own:
                message = f"the key in {_line(key_node)} is a duplicate, and replaces the earlier one"
                self._reporter.dropped("", message, "Remove one of the two; docker compose refuses the file")
            own[key] = self._build(value_node)
        return merged | own

    def _merged_mappings(self, node: yaml.Node) -> ComposeMapping:
        """Return the entries that `<<` merges. Of several mappings, the first one takes precedence."""
        result: ComposeMapping = {}
        for source in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if not isinstance(source, yaml.MappingNode):
                message = f"the value of `<<` in {_line(source)} is not a mapping"
                raise _RefusedDocumentError(message, "use the alias of a mapping")
            result = self._build_mapping(source) | result
        return result


def _scalar_text(node: yaml.Node) -> str:
    """Return a scalar as text. Two escapes for one character, as JSON writes them, are combined."""
    try:
        return str(node.value).encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        message = f"the text in {_line(node)} contains half of a surrogate pair"
        raise _RefusedDocumentError(message, "correct the escapes there") from None


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
