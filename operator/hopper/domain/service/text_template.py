"""Templated configuration files: Jinja's syntax, of which only what cannot loop, call or reach anything is allowed.

Two fences, one behind the other. The parsed text is checked against a list of allowed constructs before anything runs:
output, `if`, comparisons, access to the documented values, constants and a few filters. What passes runs in Jinja's
immutable sandbox, where access never means an attribute of a Python object: values are mappings, lists and scalars.
"""

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, UndefinedError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

# The values that a text may name. `values.py` makes them; docs/reference/templates-and-overrides.md describes them.
ROOTS = ("instance", "parent", "project", "env", "ports", "labels", "config")
MAX_RENDERED = 512 * 1024
_MAX_NODES = 20_000
_MAX_DEPTH = 40
_NAME = "<file>"

_ALLOWED = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.If,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.CondExpr,
    nodes.Name,
    nodes.Getattr,
    nodes.Getitem,
    nodes.Const,
    nodes.Filter,
)
_WORDS = {
    nodes.For: "a loop",
    nodes.Call: "a call",
    nodes.Macro: "a macro",
    nodes.CallBlock: "a call block",
    nodes.Include: "an include",
    nodes.Import: "an import",
    nodes.FromImport: "an import",
    nodes.Extends: "inheritance",
    nodes.Block: "a block",
    nodes.Assign: "an assignment",
    nodes.AssignBlock: "an assignment",
    nodes.FilterBlock: "a filter block",
    nodes.With: "a with block",
    nodes.Test: "a test (is …)",
    nodes.BinExpr: "arithmetic",
    nodes.UnaryExpr: "arithmetic",
    nodes.Concat: "concatenation with ~",
    nodes.Slice: "a slice",
    nodes.Scope: "an autoescape block",
}


class TextError(Exception):
    """A templated file that cannot be rendered; the message names the line and what to do."""


def check(text: str) -> None:
    """Look at a templated file without rendering it. Raises `TextError`."""
    _compiled(text)


def render_text(text: str, values: Mapping[str, Any]) -> str:
    """Render a templated file with these values. Raises `TextError`.

    `values` consist of mappings, lists, strings, numbers and booleans.
    """
    template = _compiled(text)
    pieces, size = [], 0
    try:
        for piece in template.generate(values):
            size += len(piece)
            if size > MAX_RENDERED:
                raise TextError(f"renders to more than {MAX_RENDERED // 1024} KiB: make it smaller")
            pieces.append(piece)
    except TextError:
        raise
    except UndefinedError as error:
        raise TextError(f"line {_line(error)}: {error.message}: name a documented value, or give a default") from None
    except Exception as error:  # whatever a text may cause is the text's own fault
        raise TextError(f"line {_line(error)}: {error}") from None
    return "".join(pieces)


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja without attributes: `a.b` and `a['b']` both look into a mapping or a list, never at a Python object."""

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Mapping) and isinstance(argument, str) and argument in obj:
            return obj[argument]
        if isinstance(obj, Sequence) and not isinstance(obj, str) and argument in range(len(obj)):
            return obj[argument]
        # What is between the brackets is not told: it may be the value of a secret variable.
        return self.undefined(hint="there is no entry for what is in brackets here")

    def getattr(self, obj: Any, attribute: str) -> Any:
        found = self.getitem(obj, attribute)
        return self.undefined(hint=f"there is no {attribute!r} here") if isinstance(found, StrictUndefined) else found


def _printable(value: Any) -> Any:
    """Decide how a value is written: booleans as in JSON and YAML, and nothing that is not one value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float | StrictUndefined):
        return value
    raise TypeError("a list or mapping cannot be written as it is: use the filter join or tojson")


def _text(value: Any) -> str:
    return str(_printable(value))


def _join(values: Any, separator: str = "") -> str:
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise TypeError("the filter join needs a list")
    return separator.join(map(_text, values))


def _default(value: Any, instead: Any = "", even_if_empty: bool = False) -> Any:
    missing = isinstance(value, StrictUndefined) or (even_if_empty and not value)
    return instead if missing else value


def _plain(value: Any) -> Any:
    """Return the value as json takes it. Raises `UndefinedError` for what is missing."""
    if isinstance(value, Mapping):
        return {key: _plain(value[key]) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(one) for one in value]
    return value if isinstance(value, bool | int | float) or value is None else str(value)


def _bounded(function: Callable[..., Any]) -> Callable[..., Any]:
    """Have a filter refuse what is too long already: some of them, applied again and again, would grow it forever."""

    def apply(value: Any, *args: Any, **named: Any) -> Any:
        if isinstance(value, str) and len(value) > MAX_RENDERED:
            raise ValueError(f"a value is longer than {MAX_RENDERED // 1024} KiB: make it smaller")
        return function(value, *args, **named)

    return apply


FILTERS: dict[str, Callable[..., Any]] = {
    "b64encode": lambda value: base64.b64encode(_text(value).encode()).decode(),
    "default": _default,
    "join": _join,
    "length": len,
    "lower": lambda value: _text(value).lower(),
    "tojson": lambda value: json.dumps(_plain(value), ensure_ascii=False, sort_keys=True),
    "trim": lambda value: _text(value).strip(),
    "upper": lambda value: _text(value).upper(),
}


def _environment() -> _Environment:
    environment = _Environment(
        undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True, finalize=_printable, cache_size=0
    )
    environment.filters = {name: _bounded(function) for name, function in FILTERS.items()}
    environment.tests = {}
    environment.globals = {}
    return environment


_JINJA = _environment()


@lru_cache(maxsize=256)
def _compiled(text: str) -> Template:
    try:
        tree = _JINJA.parse(text, name=_NAME, filename=_NAME)
        _inspect(tree)
        code = _JINJA.compile(tree, name=_NAME, filename=_NAME)
    except TemplateSyntaxError as error:
        raise TextError(f"line {error.lineno}: {error.message}") from None
    except (RecursionError, MemoryError):
        raise TextError("is nested too deeply: write it with fewer brackets") from None
    except (SyntaxError, ValueError) as error:
        raise TextError(f"is not a template: {error}") from None
    return Template.from_code(_JINJA, code, {})


def _inspect(tree: nodes.Template) -> None:
    """Refuse everything that is not allowed."""
    for count, (node, depth, line) in enumerate(_walk(tree)):
        if depth > _MAX_DEPTH or count > _MAX_NODES:
            raise TextError(f"line {line}: is too large or nested too deeply: write it more simply")
        if not isinstance(node, _ALLOWED):
            words = next((_WORDS[kind] for kind in type(node).mro() if kind in _WORDS), type(node).__name__.lower())
            raise TextError(f"line {line}: {words} is not allowed in a configuration file: write it out")
        if isinstance(node, nodes.Name) and node.name not in ROOTS:
            raise TextError(f"line {line}: there is no value {node.name}: use {', '.join(ROOTS)}")
        if isinstance(node, nodes.Filter) and node.name not in FILTERS:
            raise TextError(f"line {line}: there is no filter {node.name}: use {', '.join(FILTERS)}")


def _walk(tree: nodes.Node) -> Iterator[tuple[nodes.Node, int, int]]:
    """Yield every node with its depth and line, without recursion: the text decides how deep it goes."""
    waiting = [(tree, 0, 1)]
    while waiting:
        node, depth, line = waiting.pop()
        line = node.lineno or line
        yield node, depth, line
        waiting.extend((child, depth + 1, line) for child in node.iter_child_nodes())


def _line(error: BaseException) -> int:
    """Return the line of the text in which the error was raised."""
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == _NAME:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line or getattr(error, "lineno", 0)
