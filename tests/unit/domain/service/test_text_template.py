"""Templated files: supported syntax, rejected syntax, rendering errors, and cost."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopper.domain.service.text_template import (
    MAX_RENDERED,
    VALUE_NAMES,
    TemplateTextError,
    check_template_text,
    render_text,
)

VALUES: dict[str, Any] = {
    "instance": {"name": "web-1", "path": "shop/web-1"},
    "project": "shop",
    "env": {"TZ": "Etc/UTC", "EMPTY": "", "items": "of a dict", "BRACES": "{{ env.TZ }}"},
    "ports": [{"containerPort": 80, "protocol": "TCP"}],
    "labels": {"example.com/tier": "web", "0": "zero"},
    "config": {"capabilities": ["search", "Write"], "delegation": {"enabled": True}, "limits": {"maxDepth": 3}},
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("", ""),
        ("ends\n", "ends\n"),
        ("{{ instance.name }} of {{project}}", "web-1 of shop"),
        ("{{ labels['example.com/tier'] }}", "web"),
        ('{{ labels[ "example.com/tier" ] }}', "web"),
        ("{{ labels.0 }}", "zero"),
        ("{{ ports[0].containerPort }} {{ ports.0.protocol }}", "80 TCP"),
        ("{{ config.capabilities[1] }}", "Write"),
        ("{{ env.items }}", "of a dict"),
        ("{{ config.delegation.enabled }} {{ config.limits.maxDepth }}", "true 3"),
        ("{{ env.MISSING | default('none') }}", "none"),
        ('{{ env.MISSING|default("a \\"b\\" }} \\n") }}', 'a "b" }} \n'),
        ("{{ env.MISSING.deeper[7] | default('') }}", ""),
        ("{{ env.EMPTY | default('none') }}", ""),
        ('{{ "{{" }} {{ "{%" }} {{ \'{#\' }}', "{{ {% {#"),
        ("{{\n env.TZ\n}}", "Etc/UTC"),
        ("{{ env.BRACES }}", "{{ env.TZ }}"),
        ("} }} %} #} { {x} $%{", "} }} %} #} { {x} $%{"),
        ("<b>{{ instance.path }}</b>", "<b>shop/web-1</b>"),
    ],
)
def test_substitutes_values(text: str, expected: str) -> None:
    check_template_text(text)
    assert render_text(text, VALUES) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n{% for a in ports %}{% endfor %}", "line 2: {% for %} is not supported"),
        ("{% if env.TZ %}{% endif %}", "line 1: {% if %} is not supported"),
        ("{%- set a = 1 %}", "{% set %} is not supported"),
        ("{% raw %}{% endraw %}", "{% raw %} is not supported"),
        ("{% %}", "{%  %} is not supported"),
        ("a\n\n{# note #}", "line 3: a comment is not supported"),
        ("{{- env.TZ }}", "whitespace control is not supported"),
        ("{{ env.TZ -}}", "whitespace control is not supported"),
        ("{{ env.TZ | upper }}", "the filter upper is not supported"),
        ("{{ env.X | default('a') | lower }}", "the filter lower is not supported"),
        ("{{ env.X | default }}", "default without one quoted text is not supported"),
        ("{{ env.X | default(5) }}", "default without one quoted text is not supported"),
        ("{{ env.X | default('a', true) }}", "default without one quoted text is not supported"),
        ("{{ 'a' if env.TZ else 'b' }}", 'the operator "if" is not supported'),
        ("{{ not env.TZ }}", 'the operator "not" is not supported'),
        ("{{ env.TZ == 'x' }}", "a comparison is not supported"),
        ("{{ project.upper() }}", "a call is not supported"),
        ("{{ 1 + 1 }}", "arithmetic is not supported"),
        ("{{ 'a' ~ 'b' }}", "arithmetic is not supported"),
        ("{{ env.TZ[1:2] }}", "arithmetic is not supported"),
        ("{{ ports[env.TZ] }}", "the expression 'ports[env.TZ]' is not supported"),
        ("{{ }}", "the expression '' is not supported"),
        ("{{ env..TZ }}", "the expression 'env..TZ' is not supported"),
        ("{{ ünï }}", "the expression 'ünï' is not supported"),
        ("{{ environ }}", "the value environ does not exist: use one of instance"),
        ("{{ env", "{{ is not closed by }}"),
        ("{% x", "{% is not closed by %}"),
        ('{{ "\\x" }}', "is not a valid text: quote it as in JSON"),
        ('{{ "\\ud800" }}', "is not a valid text: quote it as in JSON"),
    ],
)
def test_rejects_everything_else_with_its_name_and_line(text: str, message: str) -> None:
    with pytest.raises(TemplateTextError) as error:
        check_template_text(text)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n\n{{ env.MISSING }}", 'line 3: env.MISSING does not exist: correct it, or add | default("text")'),
        ("{{ parent }}", "line 1: parent does not exist"),
        ("{{ env.MISSING.deeper }}", "env.MISSING.deeper does not exist"),
        ("{{ instance.name.__class__ }}", "instance.name.__class__ does not exist"),
        ("{{ env['__init__'] }}", "env['__init__'] does not exist"),
        ("{{ ports[1] }}", "ports[1] does not exist"),
        ("{{ ports['0'] }}", "ports['0'] does not exist"),
        ("{{ project[0] }}", "project[0] does not exist"),
        ("{{ ports." + "9" * 5000 + " }}", "does not exist"),
        ("{{ env }}", "env is a mapping: name one entry of it"),
        ("{{ config.capabilities }}", "config.capabilities is a list: name one entry of it"),
        ("{{ env | default('x') }}", "env is a mapping"),
    ],
)
def test_reports_a_missing_value_with_its_path_and_line(text: str, message: str) -> None:
    check_template_text(text)
    with pytest.raises(TemplateTextError) as error:
        render_text(text, VALUES)
    assert message in str(error.value)


def test_the_size_of_the_rendered_text_is_limited() -> None:
    values = {"env": {"BIG": "x" * 32768}}
    assert len(render_text("{{ env.BIG }}" * 16, values)) == MAX_RENDERED
    with pytest.raises(TemplateTextError, match="renders to more than 512 KiB"):
        render_text("{{ env.BIG }}" * 17, values)


def _steps(text: str) -> int:
    """Return the number of Python lines that rendering a text executes."""
    count = 0

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()  # that of coverage
    sys.settrace(trace)
    try:
        with suppress(TemplateTextError):
            render_text(text, VALUES)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("unit", ["{{ env.TZ }}", "{{ env.MISSING | default('x') }}", '{{ "{{" }}', "x\n{", "{{ env"])
def test_the_cost_is_linear_in_the_text(unit: str) -> None:
    assert _steps(unit * 2000) <= 2.2 * _steps(unit * 1000)


@pytest.mark.parametrize("filler", [" ", ".a", "[0]", "\\", "'", '"', "{", "{{ env ", "|default("])
def test_long_malformed_texts_are_rejected_without_backtracking(filler: str) -> None:
    """A quadratic match would take minutes for this length, and trip the limit of the whole run."""
    with pytest.raises(TemplateTextError):
        render_text("{{ env" + filler * 100_000 + "!}}", VALUES)


@given(st.text(alphabet="{}%# .|()[]'\"abeinv_019\n<=+-~*\\u", max_size=60))
def test_any_text_renders_or_raises_a_template_error(text: str) -> None:
    with suppress(TemplateTextError):
        render_text(text, VALUES).encode()
    assert set(VALUES) < set(VALUE_NAMES)
