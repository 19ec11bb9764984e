"""Templated configuration files in a safe subset of the Jinja syntax: no loops, no calls, no Python objects.

Two safeguards protect the operator. First, the parsed text may contain only allowed constructs: output, `if`,
comparisons, the documented values, constants and a few filters. Second, the text is rendered in Jinja's immutable
sandbox. There, `a.b` never reads an attribute of a Python object: values are mappings, lists and scalars.
"""

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, UndefinedError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

# Top-level values, set by `template_values` and documented in docs/reference/templates-and-overrides.md.
VALUE_NAMES = ("instance", "parent", "project", "env", "ports", "labels", "config")
MAX_RENDERED = 512 * 1024
_MAX_NODES = 20_000
_MAX_DEPTH = 40
_FILE_NAME = "<file>"

_ALLOWED_NODES = (
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
_NODE_NAMES = {
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


class TemplateTextError(Exception):
    """Templated file that cannot be rendered. The message names the line and the fix."""


def check_template_text(text: str) -> None:
    """Check a templated file without rendering it.

    Raises:
        TemplateTextError: The text is not a valid template.
    """
    _compile(text)


def render_text(text: str, values: Mapping[str, Any]) -> str:
    """Return the rendered text of a templated file.

    `values` consist of mappings, lists, strings, numbers and booleans.

    Raises:
        TemplateTextError: The text is not a valid template, uses a missing value, or renders to too much text.
    """
    template = _compile(text)
    pieces, size = [], 0
    try:
        for piece in template.generate(values):
            size += len(piece)
            if size > MAX_RENDERED:
                raise TemplateTextError(f"renders to more than {MAX_RENDERED // 1024} KiB: make it smaller")
            pieces.append(piece)
    except TemplateTextError:
        raise
    except UndefinedError as error:
        raise TemplateTextError(
            f"line {_line(error)}: {error.message}: use a documented value, or the filter default"
        ) from None
    except Exception as error:  # any error here is caused by the text, which users write
        raise TemplateTextError(f"line {_line(error)}: {error}") from None
    return "".join(pieces)


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja sandbox without attributes: `a.b` and `a['b']` read entries of mappings and lists, never of objects."""

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Mapping) and isinstance(argument, str) and argument in obj:
            return obj[argument]
        if isinstance(obj, Sequence) and not isinstance(obj, str) and argument in range(len(obj)):
            return obj[argument]
        # The message leaves out the key, which can be the value of a secret variable.
        return self.undefined(hint="the key or index in brackets does not exist")

    def getattr(self, obj: Any, attribute: str) -> Any:
        value = self.getitem(obj, attribute)
        return self.undefined(hint=f"{attribute!r} does not exist") if isinstance(value, StrictUndefined) else value


def _printable(value: Any) -> Any:
    """Return a scalar in the form to output, booleans as in JSON and YAML. Raise `TypeError` for lists and mappings."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float | StrictUndefined):
        return value
    raise TypeError("a list or mapping cannot be output directly: use the filter join or tojson")


def _as_text(value: Any) -> str:
    return str(_printable(value))


def _join(values: Any, separator: str = "") -> str:
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise TypeError("the filter join needs a list")
    return separator.join(map(_as_text, values))


def _default(value: Any, default: Any = "", or_empty: bool = False) -> Any:
    is_missing = isinstance(value, StrictUndefined) or (or_empty and not value)
    return default if is_missing else value


def _as_json_value(value: Any) -> Any:
    """Return the value in a form that `json.dumps` accepts. Raise `UndefinedError` for a missing value."""
    if isinstance(value, Mapping):
        return {key: _as_json_value(value[key]) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_as_json_value(entry) for entry in value]
    return value if isinstance(value, bool | int | float) or value is None else str(value)


def _bounded(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the filter with a limit on its input, because a chain of filters could make a value grow without end."""

    def apply(value: Any, *args: Any, **named: Any) -> Any:
        if isinstance(value, str) and len(value) > MAX_RENDERED:
            raise ValueError(f"the input of a filter is longer than {MAX_RENDERED // 1024} KiB: make it smaller")
        return function(value, *args, **named)

    return apply


FILTERS: dict[str, Callable[..., Any]] = {
    "b64encode": lambda value: base64.b64encode(_as_text(value).encode()).decode(),
    "default": _default,
    "join": _join,
    "length": len,
    "lower": lambda value: _as_text(value).lower(),
    "tojson": lambda value: json.dumps(_as_json_value(value), ensure_ascii=False, sort_keys=True),
    "trim": lambda value: _as_text(value).strip(),
    "upper": lambda value: _as_text(value).upper(),
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
def _compile(text: str) -> Template:
    try:
        tree = _JINJA.parse(text, name=_FILE_NAME, filename=_FILE_NAME)
        _check_nodes(tree)
        code = _JINJA.compile(tree, name=_FILE_NAME, filename=_FILE_NAME)
    except TemplateSyntaxError as error:
        raise TemplateTextError(f"line {error.lineno}: {error.message}") from None
    except (RecursionError, MemoryError):
        raise TemplateTextError("is nested too deeply: use fewer brackets") from None
    except (SyntaxError, ValueError) as error:
        raise TemplateTextError(f"is not a valid template: {error}") from None
    return Template.from_code(_JINJA, code, {})


def _check_nodes(tree: nodes.Template) -> None:
    """Raise `TemplateTextError` if the text contains a construct, value or filter that is not allowed."""
    for count, (node, depth, line) in enumerate(_walk(tree)):
        if depth > _MAX_DEPTH or count > _MAX_NODES:
            raise TemplateTextError(f"line {line}: is too large or nested too deeply: simplify the text")
        if not isinstance(node, _ALLOWED_NODES):
            construct = next(
                (_NODE_NAMES[kind] for kind in type(node).mro() if kind in _NODE_NAMES), type(node).__name__.lower()
            )
            raise TemplateTextError(
                f"line {line}: {construct} is not allowed in a configuration file: write the text out"
            )
        if isinstance(node, nodes.Name) and node.name not in VALUE_NAMES:
            raise TemplateTextError(
                f"line {line}: the value {node.name} does not exist: use one of {', '.join(VALUE_NAMES)}"
            )
        if isinstance(node, nodes.Filter) and node.name not in FILTERS:
            raise TemplateTextError(
                f"line {line}: the filter {node.name} does not exist: use one of {', '.join(FILTERS)}"
            )


def _walk(tree: nodes.Node) -> Iterator[tuple[nodes.Node, int, int]]:
    """Yield every node with its depth and line. Iterative, because users decide how deep the nodes are nested."""
    stack = [(tree, 0, 1)]
    while stack:
        node, depth, line = stack.pop()
        line = node.lineno or line
        yield node, depth, line
        stack.extend((child, depth + 1, line) for child in node.iter_child_nodes())


def _line(error: BaseException) -> int:
    """Return the line of the template text that raised the error."""
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == _FILE_NAME:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line or getattr(error, "lineno", 0)
