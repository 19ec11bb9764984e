"""YAML of manifests: read as kubectl reads it, and written so that every parser reads it alike."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from hopper.api.resources import Manifest

_TIMESTAMP_TAG = "tag:yaml.org,2002:timestamp"
# Unquoted, some YAML parsers read these strings as numbers, booleans or null.
_AMBIGUOUS = re.compile(r"[-+.]?[0-9][-+0-9a-fA-FxXo._,:]*|[-+.~]|[yYnN]|(?i:yes|no|on|off|true|false|null)")


class KubectlYamlLoader(yaml.SafeLoader):
    """A loader for which dates and times such as `12:30` are strings, as for kubectl."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as in the base class
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP_TAG]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _construct_number(loader: KubectlYamlLoader, node: yaml.ScalarNode) -> object:
    if ":" in node.value:  # PyYAML reads 1:30 as 90.
        return node.value
    is_integer = node.tag.endswith(":int")
    return loader.construct_yaml_int(node) if is_integer else loader.construct_yaml_float(node)


for _kind in ("int", "float"):
    KubectlYamlLoader.add_constructor(f"tag:yaml.org,2002:{_kind}", _construct_number)


class _ManifestDumper(yaml.SafeDumper):
    """A dumper that indents list items, repeats equal values instead of using anchors, and uses block style."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_string(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = None
    if _AMBIGUOUS.fullmatch(value):
        style = '"'
    elif "\n" in value:
        style = "|"
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(value), style=style)


_ManifestDumper.add_representer(str, _represent_string)
_ManifestDumper.add_multi_representer(str, _represent_string)


def yaml_documents(manifests: Iterable[Manifest]) -> Iterator[str]:
    """Yield each manifest as a YAML document that starts with `---`."""
    for manifest in manifests:
        yield "---\n" + yaml.dump(manifest, Dumper=_ManifestDumper, sort_keys=False, width=120, allow_unicode=True)
