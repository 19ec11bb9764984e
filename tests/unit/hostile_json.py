"""Generated JSON that Python cannot decode, compare or encode by recursion, or that it reads as something else."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from hopper.api.resources import Manifest

_LEAVES = st.sampled_from(
    [
        "1",
        "null",
        '"}{]["',
        '"\\\\ud800 \\" \\ud83d\\ude00"',
        '"\\ud800"',
        '"\\uDFFF x"',
        "1e400",
        "-1e400",
        "NaN",
        "-Infinity",
        "9" * 5000,
        "-" + "7" * 310,
        "-" + "7" * 4300,
        "0." + "3" * 5000,
        "1" + "0" * 400 + ".5e-300",
        '"' + "x" * 2**20 + '"',
        "[" + ",".join(["1"] * 10_000) + "]",
        "{" + ",".join(f'"k{number}":"v"' for number in range(10_000)) + "}",
        '{"twice":1,"twice":{"a":2}}',
        "{}",
        "[]",
    ]
)
_LEVELS = st.sampled_from(
    [('{"a":', "}"), ("[", "]"), ('{"b":{},"a":', ',"z":[1]}'), ("[0,{},", "]"), ('{"\\u0000":', "}")]
)


def deep_text(depth: int, opening: str = '{"a":', closing: str = "}", leaf: str = "1") -> str:
    """Return JSON of this depth; `json.dumps` cannot write it."""
    return opening * depth + leaf + closing * depth


@st.composite
def hostile_texts(draw: st.DrawFn) -> str:
    """Return a JSON text of any depth that the API server stores."""
    depth = draw(st.sampled_from([0, 1, 30, 62, 63, 64, 65, 99, 100, 101, 102, 500, 900, 1200, 9000]))
    return deep_text(depth, *draw(_LEVELS), draw(_LEAVES))


def instance_text(name: str, extra: str, *, version: int = 1, elsewhere: str = "{}", **spec: Any) -> str:
    """Return an instance as the API server sends it, with `elsewhere` in places that Hopper does not read."""
    manifest: Manifest = {
        "apiVersion": "hopper.dev/v1",
        "kind": "HopperInstance",
        "metadata": {
            "annotations": {"other": "ANNOTATION"},
            "creationTimestamp": "2026-03-01T11:00:00Z",
            "generation": 1,
            "managedFields": [{"time": "2026-03-01T11:00:00Z", "fieldsV1": "ELSEWHERE"}],
            "name": name,
            "namespace": "default",
            "resourceVersion": str(version),
            "uid": f"uid-{name}",
        },
        "spec": {"scope": "Project", "config": {"extra": "EXTRA", "capabilities": ["gpu"]}, **spec},
        "unknown": "ELSEWHERE",
    }
    text = json.dumps(manifest, separators=(",", ":")).replace('"EXTRA"', extra).replace('"ELSEWHERE"', elsewhere)
    return text.replace('"ANNOTATION"', json.dumps(elsewhere))


def list_text(*items: str) -> bytes:
    """Return a list of these objects as the API server sends it."""
    head = '{"apiVersion":"hopper.dev/v1","items":['
    return f'{head}{",".join(items)}],"kind":"List","metadata":{{"resourceVersion":"42"}}}}'.encode()
