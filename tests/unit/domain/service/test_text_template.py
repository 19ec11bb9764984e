"""Templated files: supported syntax, rejected syntax, and rendering errors."""

from __future__ import annotations

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
    "env": {"TZ": "Etc/UTC", "EMPTY": "", "items": "of a dict", "DEBUG": "1"},
    "ports": [{"containerPort": 80, "protocol": "TCP"}],
    "labels": {"example.com/tier": "web"},
    "config": {"capabilities": ["search", "Write"], "delegation": {"enabled": True}, "limits": {"maxDepth": 3}},
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("ends\n", "ends\n"),
        ("{{ instance.name }} of {{ project }}", "web-1 of shop"),
        ("{{ instance['name'] }}", "web-1"),
        ("{{ labels['example.com/tier'] }}", "web"),
        ("{{ ports[0].containerPort }}", "80"),
        ("{{ env.items }}", "of a dict"),
        ("{{ config.delegation.enabled }}", "true"),
        ("{{ config.limits.maxDepth > 2 and not config.limits.maxDepth >= 4 }}", "true"),
        ("{% if env.DEBUG == '1' %}on{% elif env.DEBUG %}odd{% else %}off{% endif %}", "on"),
        ("{% if env.EMPTY or env.TZ != 'x' %}on{% endif %}", "on"),
        ("{{ 'a' if 'search' in config.capabilities else 'b' }}", "a"),
        ("{{ env.MISSING | default('none') }}", "none"),
        ("{{ env.MISSING | default }}", ""),
        ("{{ env.EMPTY | default('none') }}", ""),
        ("{{ env.EMPTY | default('none', true) }}", "none"),
        ("{{ env.TZ | upper }} {{ env.TZ | lower }}", "ETC/UTC etc/utc"),
        ("[{{ '  x ' | trim }}]", "[x]"),
        ("{{ config.capabilities | join(', ') }}", "search, Write"),
        ("{{ config.capabilities | length }}", "2"),
        ("{{ config.limits | tojson }}{{ config.capabilities | tojson }}", '{"maxDepth": 3}["search", "Write"]'),
        ("{{ config.delegation | tojson }}", '{"enabled": true}'),
        ("{{ env.TZ | tojson }}", '"Etc/UTC"'),
        ("{{ 'ä<>' | tojson }}", '"ä<>"'),
        ("{{ env.TZ | b64encode }}", "RXRjL1VUQw=="),
        ("{# nothing #}{% raw %}{{ x }}{% endraw %}", "{{ x }}"),
        ("<b>{{ '<&>' }}</b>", "<b><&></b>"),
    ],
)
def test_renders_the_supported_syntax(text: str, expected: str) -> None:
    check_template_text(text)
    assert render_text(text, VALUES) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n{% for a in ports %}{% endfor %}", "line 2: a loop is not allowed"),
        ("{{ project.upper() }}", "line 1: a call is not allowed"),
        ("{% set a = 1 %}", "an assignment is not allowed"),
        ("{% set a %}{% endset %}", "an assignment is not allowed"),
        ("{% macro a() %}{% endmacro %}", "a macro is not allowed"),
        ("{% call a() %}{% endcall %}", "a call"),
        ("{% include 'x' %}", "an include is not allowed"),
        ("{% import 'x' as x %}", "an import is not allowed"),
        ("{% from 'x' import x %}", "an import is not allowed"),
        ("{% extends 'x' %}", "inheritance is not allowed"),
        ("{% block a %}{% endblock %}", "a block is not allowed"),
        ("{% filter upper %}{% endfilter %}", "a filter block is not allowed"),
        ("{% with %}{% endwith %}", "a with block is not allowed"),
        ("\n\n{% autoescape true %}{% endautoescape %}", "an autoescape block is not allowed"),
        ("{{ env.TZ is defined }}", "a test (is …) is not allowed"),
        ("{{ 1 + 1 }}", "arithmetic is not allowed"),
        ("{{ -1 }}", "arithmetic is not allowed"),
        ("{{ 'a' ~ 'b' }}", "concatenation with ~ is not allowed"),
        ("{{ env.TZ[1:2] }}", "a slice is not allowed"),
        ("{{ [1] }}", "list is not allowed"),
        ("{{ environ }}", "the value environ does not exist: use one of instance"),
        ("{{ env.TZ | attr('x') }}", "the filter attr does not exist: use one of b64encode"),
        ("{{ env", "line 1:"),
        ("{% if %}", "line 1:"),
        ("{% trans %}x{% endtrans %}", "unknown tag"),
        ("{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}", "nested too deeply"),
        ("{{ env" + ".a" * 3000 + " }}", "too large or nested too deeply"),
        ("{{ env.a }}" * 11000, "too large or nested too deeply"),
        ("{{ " + "9" * 5000 + " }}", "is not a valid template"),
    ],
)
def test_rejects_unsupported_syntax_before_rendering(text: str, message: str) -> None:
    with pytest.raises(TemplateTextError) as error:
        check_template_text(text)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n\n{{ env.MISSING }}", "line 3: 'MISSING' does not exist: use a documented value, or the filter default"),
        ("{{ parent }}", "line 1: 'parent' is undefined"),
        ("{{ env.MISSING.deeper }}", "'deeper' does not exist"),
        ("{% if\nenv.MISSING %}{% endif %}", "'MISSING' does not exist"),
        ("{{ env.MISSING | tojson }}", "'MISSING' does not exist"),
        ("{{ env.MISSING | upper }}", "'MISSING' does not exist"),
        ("{{ instance.name.__class__ }}", "'__class__' does not exist"),
        ("{{ instance.__class__ }}", "'__class__' does not exist"),
        ("{{ env['__init__'] }}", "line 1: the key or index in brackets does not exist"),
        ("{{ ports[1] }}", "the key or index in brackets does not exist"),
        ("{{ ports['0'] }}", "the key or index in brackets does not exist"),
        ("{{ project[0] }}", "the key or index in brackets does not exist"),
        ("{{ env }}", "use the filter join or tojson"),
        ("{{ none }}", "use the filter join or tojson"),
        ("{{ project | join }}", "the filter join needs a list"),
        ("{{ config.capabilities | join(3) }}", "line 1:"),
        ("{{ config.delegation.enabled | length }}", "line 1:"),
        ("{{ 1 < 'a' }}", "line 1:"),
        ("{{ env[ports] }}", "does not exist"),
    ],
)
def test_reports_rendering_errors_with_their_line(text: str, message: str) -> None:
    check_template_text(text)
    with pytest.raises(TemplateTextError) as error:
        render_text(text, VALUES)
    assert message in str(error.value)


@pytest.mark.parametrize("text", ["{{ ports[env.TZ] }}", "{{ env[env.TZ] }}", "{{ labels[env.TZ].x }}"])
def test_errors_do_not_contain_values(text: str) -> None:
    """The value of a variable can be secret, and errors appear in the status."""
    with pytest.raises(TemplateTextError) as error:
        render_text(text, VALUES)
    assert VALUES["env"]["TZ"] not in str(error.value)


class TestSizeLimit:
    def test_applies_to_the_rendered_text(self) -> None:
        values = {"env": {"BIG": "x" * 32768}}
        assert len(render_text("{{ env.BIG }}" * 16, values)) == MAX_RENDERED
        with pytest.raises(TemplateTextError, match="renders to more than 512 KiB"):
            render_text("{{ env.BIG }}" * 17, values)

    @pytest.mark.parametrize("name", ["tojson", "b64encode"])
    def test_applies_to_values_between_filters(self, name: str) -> None:
        with pytest.raises(TemplateTextError, match="512 KiB"):
            render_text("{{ env.BIG" + f" | {name}" * 36 + " }}", {"env": {"BIG": '\\"' * 16000}})


@given(st.text(alphabet="{}%# .|()[]'\"abeinv_019\n<=+-~*", max_size=60))
def test_any_text_renders_or_raises_a_template_error(text: str) -> None:
    with suppress(TemplateTextError):
        assert isinstance(render_text(text, VALUES), str)
    assert set(VALUES) < set(VALUE_NAMES)
