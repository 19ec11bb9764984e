"""YAML as kubectl reads it, where PyYAML reads something else: to kubectl, dates and `12:30` are texts."""

from __future__ import annotations

import yaml

_TIMESTAMP = "tag:yaml.org,2002:timestamp"


class Loader(yaml.SafeLoader):
    """Reads plain data only."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as in the class above
        first: [(tag, form) for tag, form in resolvers if tag != _TIMESTAMP]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _number(loader: Loader, node: yaml.ScalarNode) -> object:
    if ":" in node.value:  # to PyYAML, 1:30 is 90
        return node.value
    whole = node.tag.endswith(":int")
    return loader.construct_yaml_int(node) if whole else loader.construct_yaml_float(node)


for _kind in ("int", "float"):
    Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _number)
