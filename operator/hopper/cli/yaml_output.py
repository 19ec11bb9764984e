"""Manifests as YAML that every parser reads alike."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import yaml

# Plain, these would be numbers, booleans or nothing at all to one version of YAML or another.
_AMBIGUOUS = re.compile(r"[-+.]?[0-9][-+0-9a-fA-FxXo._,:]*|[-+.~]|[yYnN]|(?i:yes|no|on|off|true|false|null)")


class _Dumper(yaml.SafeDumper):
    """List items indented, no anchors for values that happen to be the same, texts of several lines as blocks."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = None
    if _AMBIGUOUS.fullmatch(value):
        style = '"'
    elif "\n" in value:
        style = "|"
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(value), style=style)


_Dumper.add_representer(str, _text)
_Dumper.add_multi_representer(str, _text)


def documents(manifests: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield each manifest as a document, with the line that begins it."""
    for manifest in manifests:
        yield "---\n" + yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
