"""The files of `crds/`, generated from the models in `hopper.api`.

`python -m tests.generators.crds DIRECTORY` writes them, as `make crds` does.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from hopper.api.crd import KINDS, CustomKind, custom_resource_definition

_HEADER = "# Generated from the models in operator/hopper/api by `make crds`. Do not edit.\n"


class _CrdDumper(yaml.SafeDumper):
    """YAML in the usual layout: list items are indented, and equal values do not become anchors."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def render_crd_file(kind: CustomKind) -> str:
    """Return the text of the file in `crds/` for a kind."""
    manifest = custom_resource_definition(kind)
    return _HEADER + yaml.dump(manifest, Dumper=_CrdDumper, sort_keys=False, width=120, allow_unicode=True)


def write_crd_files(directory: Path) -> None:
    """Write one file per kind into `directory`. Other files there stay as they are."""
    directory.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        (directory / f"{kind.crd_name}.yaml").write_text(render_crd_file(kind), encoding="utf-8")


def main(arguments: Sequence[str]) -> None:
    """Write the CustomResourceDefinitions into the directory that is the only argument."""
    if len(arguments) != 1:
        sys.exit("usage: python -m tests.generators.crds DIRECTORY")
    write_crd_files(Path(arguments[0]))


if __name__ == "__main__":
    main(sys.argv[1:])
