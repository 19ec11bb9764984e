"""Templated configuration files: substitution of values, and nothing else.

`{{ path.to.value }}` is replaced by a value, `{{ path | default("text") }}` by a value or else a text, and
`{{ "text" }}` by the text itself. A path may use brackets: `labels["example.org/tier"]`, `ports[0].port`.

There are no loops, conditions, comparisons or filters. Time and output are linear in the text and its values, and no
value decides what is rendered, so an error never depends on the value of a secret variable.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Top-level values, set by `template_values` and documented in docs/reference/templates-and-overrides.md.
VALUE_NAMES = ("instance", "parent", "project", "env", "ports", "labels", "config")
MAX_RENDERED = 512 * 1024
_MAX_SHOWN = 60

# Quantifiers are possessive (`*+`), so that matching takes linear time.
_QUOTED = r"""(?:"(?:[^"\\\n]|\\.)*+"|'[^'\\\n]*+')"""
_SEGMENT = rf"\.\w++|\[\s*+(?:\d{{1,9}}+|{_QUOTED})\s*+\]"
_EXPRESSION = re.compile(
    rf"""\{{\{{\s*+(?:
        (?P<text>{_QUOTED})
      | (?P<path>[A-Za-z_]\w*+(?:{_SEGMENT})*+)\s*+(?:\|\s*+default\(\s*+(?P<default>{_QUOTED})\s*+\))?+
    )\s*+\}}\}}""",
    re.VERBOSE | re.ASCII,
)
_SEGMENTS = re.compile(_SEGMENT, re.ASCII)
_OPENING = re.compile(r"\{[{%#]")
# What an unsupported expression contains → its name.
_CONSTRUCTS = (
    (re.compile(r"^-|-$"), "whitespace control"),
    (re.compile(r"\|\s*(?!default\b)(\w+)"), "the filter {}"),
    (re.compile(r"\|\s*default"), "default without one quoted text"),
    (re.compile(r"\b(if|else|and|or|not|in|is)\b"), 'the operator "{}"'),
    (re.compile(r"[=!<>]=?"), "a comparison"),
    (re.compile(r"\("), "a call"),
    (re.compile(r"[-+*/%~:]"), "arithmetic"),
)


class TemplateTextError(Exception):
    """Templated file that cannot be rendered. The message names the line and the fix."""


@dataclass(frozen=True, slots=True)
class _Substitution:
    """Path to a value, with an optional default, as in `{{ … }}`."""

    line: int
    shown: str
    path: tuple[str | int, ...]
    default: str | None


def check_template_text(text: str) -> None:
    """Check a templated file without rendering it.

    Raises:
        TemplateTextError: The text uses something other than substitution, or a value that does not exist.
    """
    for _ in _parse(text):
        pass


def render_text(text: str, values: Mapping[str, Any]) -> str:
    """Return the text with every substitution replaced by its value.

    `values` consist of mappings, lists, strings, numbers and booleans. Booleans are written as in JSON and YAML.

    Raises:
        TemplateTextError: The text is not a valid template, uses a missing value, or renders to too much text.
    """
    pieces: list[str] = []
    size = 0
    for part in _parse(text):
        piece = part if isinstance(part, str) else _value_text(part, values)
        size += len(piece)
        if size > MAX_RENDERED:
            raise TemplateTextError(f"renders to more than {MAX_RENDERED // 1024} KiB: make it smaller")
        pieces.append(piece)
    return "".join(pieces)


def _parse(text: str) -> Iterator[str | _Substitution]:
    """Yield the literal parts and the substitutions of a templated file, in order."""
    position, line, counted = 0, 1, 0
    while opening := _OPENING.search(text, position):
        start = opening.start()
        line += text.count("\n", counted, start)
        counted = start
        if start > position:
            yield text[position:start]
        expression = _EXPRESSION.match(text, start)
        if expression is None:
            raise _unsupported(text, start, line)
        yield _unquote(expression["text"], line) if expression["text"] else _substitution(expression, line)
        position = expression.end()
    if position < len(text):
        yield text[position:]


def _substitution(expression: re.Match[str], line: int) -> _Substitution:
    shown = expression["path"]
    name, *_ = re.split(r"[.\[]", shown, maxsplit=1)
    if name not in VALUE_NAMES:
        raise TemplateTextError(f"line {line}: the value {name} does not exist: use one of {', '.join(VALUE_NAMES)}")
    segments = (_segment(match[0], line) for match in _SEGMENTS.finditer(shown, len(name)))
    default = _unquote(expression["default"], line) if expression["default"] else None
    return _Substitution(line, shown, (name, *segments), default)


def _segment(written: str, line: int) -> str | int:
    key = written[1:] if written.startswith(".") else written[1:-1].strip()
    if key.isdecimal() and len(key) < 10:
        return int(key)
    return key if written.startswith(".") else _unquote(key, line)


def _unquote(quoted: str, line: int) -> str:
    """Return a quoted text without its quotes. Double quotes follow JSON, single quotes know no escapes."""
    if quoted.startswith("'"):
        return quoted[1:-1]
    try:
        text: str = json.loads(quoted)
        text.encode()  # fails for half of a surrogate pair
    except ValueError:
        raise TemplateTextError(
            f"line {line}: {quoted[:_MAX_SHOWN]} is not a valid text: quote it as in JSON"
        ) from None
    return text


def _value_text(part: _Substitution, values: Mapping[str, Any]) -> str:
    value: Any = values
    for segment in part.path:
        if isinstance(value, Mapping) and str(segment) in value:
            try:
                value = value[str(segment)]
            except ValueError as error:  # a variable whose value only the pod knows
                raise TemplateTextError(f"line {part.line}: {error}") from None
        elif _is_list(value) and isinstance(segment, int) and segment < len(value):
            value = value[segment]
        elif part.default is not None:
            return part.default
        else:
            fix = 'correct it, or add | default("text")'
            raise TemplateTextError(f"line {part.line}: {part.shown[:_MAX_SHOWN]} does not exist: {fix}")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    kind = "list" if _is_list(value) else "mapping"
    raise TemplateTextError(f"line {part.line}: {part.shown[:_MAX_SHOWN]} is a {kind}: name one entry of it")


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _unsupported(text: str, start: int, line: int) -> TemplateTextError:
    """Return the error for an opening bracket at `start` that begins no substitution."""
    opening = text[start : start + 2]
    closing = {"{{": "}}", "{%": "%}", "{#": "#}"}[opening]
    end = text.find(closing, start + 2)
    literal = f'; to write {opening} itself, use {{{{ "{opening}" }}}}'
    if end < 0:
        return TemplateTextError(f"line {line}: {opening} is not closed by {closing}: close it{literal}")
    inner = text[start + 2 : end].strip()[:200]
    if opening == "{{":
        construct = _construct(inner)
    elif opening == "{%":
        word = re.match(r"-?\s*(\w*)", inner)
        construct = f"{{% {word[1] if word else ''} %}}"
    else:
        construct = "a comment"
    fix = 'use only {{ path }} and {{ path | default("text") }}'
    return TemplateTextError(f"line {line}: {construct} is not supported in a configuration file: {fix}{literal}")


def _construct(inner: str) -> str:
    without_texts = re.sub(_QUOTED, "''", inner)
    for pattern, name in _CONSTRUCTS:
        if match := pattern.search(without_texts):
            return name.format(*match.groups())
    return f"the expression {inner[:_MAX_SHOWN]!r}"
