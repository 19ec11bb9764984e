"""`docs/reference/rest-api.md`: the OpenAPI document of the gateway as a Markdown page."""

from collections.abc import Iterable, Iterator
from typing import Any

Document = dict[str, Any]
Row = tuple[str, ...]

_JSON = "application/json"
_TYPE_NAMES = {
    "string": "text",
    "integer": "integer",
    "number": "number",
    "boolean": "true or false",
    "object": "object",
}

_HEAD = """\
# REST API

<!-- Generated from the routes by `make openapi`. Do not edit. -->

`hopper gateway run` serves the REST API under `/api/v1`, its OpenAPI document at `/openapi.json`, and a page to try
it out at `/docs`.

"""
_ERRORS = """\
## Errors

Every error has the form `{"error_type": "NotFound", "detail": "Instance web not found"}`. A 422 also has `errors`,
with one entry per invalid field: `{"field": "body -> scope", "message": "…", "type": "…"}`.

"""


def render_rest_page(document: Document) -> str:
    """Return the Markdown page of an OpenAPI document."""
    return "".join(_Page(document).parts())


class _Page:
    """The page of one OpenAPI document."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._schemas: dict[str, Document] = document["components"]["schemas"]

    def parts(self) -> Iterator[str]:
        yield from (_HEAD, self._document["info"]["description"], "\n", _ERRORS)
        answers = self._document["components"]["responses"]
        yield _table(("code", "when"), ((code, answers[code]["description"]) for code in sorted(answers)))
        for tag, operations in self._by_tag().items():
            yield f"\n## {tag.capitalize()}\n\n"
            calls = (
                (f"`{method.upper()} {path}`", self._answers(operation), operation["summary"])
                for method, path, operation in operations
            )
            yield _table(("call", "answers", "what it does"), calls)
            for method, path, operation in operations:
                yield self._operation(method, path, operation)
        yield "\n## Bodies\n"
        for name, schema in self._schemas.items():
            if "properties" in schema:
                yield f"\n### {name}\n\n{schema.get('description', '').strip()}\n\n"
                fields = (
                    (f"`{key}`", self._type(field), self._description(field))
                    for key, field in schema["properties"].items()
                )
                yield _table(("field", "type", "meaning"), fields)

    def _by_tag(self) -> dict[str, list[tuple[str, str, Document]]]:
        by_tag: dict[str, list[tuple[str, str, Document]]] = {}
        for path, operations in self._document["paths"].items():
            for method, operation in operations.items():
                by_tag.setdefault(operation["tags"][0], []).append((method, path, operation))
        return by_tag

    def _answers(self, operation: Document) -> str:
        success_codes = (code for code in operation["responses"] if code < "300")
        return ", ".join(f"{code} {self._body_of(operation['responses'][code])}".strip() for code in success_codes)

    def _body_of(self, answer: Document) -> str:
        content = answer.get("content", {})
        if _JSON in content:
            return self._type(content[_JSON].get("schema", {}))
        return next((f"`{kind}`" for kind in content), "")

    def _operation(self, method: str, path: str, operation: Document) -> str:
        text = f"\n### {method.upper()} {path}\n\n{operation.get('description', operation['summary'])}\n"
        if "requestBody" in operation:
            schema = operation["requestBody"]["content"][_JSON]["schema"]
            optional = "" if operation["requestBody"].get("required") else ", optional"
            text += f"\nBody: {self._type(schema)}{optional}.\n"
        rows = [
            (f"`{parameter['name']}`", parameter["in"], self._type(parameter["schema"]), self._description(parameter))
            for parameter in operation.get("parameters", ())
            if parameter["name"] != "namespace"
        ]
        return text + (f"\n{_table(('parameter', 'in', 'type', 'meaning'), rows)}" if rows else "")

    def _description(self, schema: Document) -> str:
        """Return the description of a field, else that of its type."""
        inner = schema.get("schema", schema)
        candidates = (schema, inner, *inner.get("anyOf", ()))
        return next((candidate["description"] for candidate in candidates if "description" in candidate), "")

    def _type(self, schema: Document) -> str:
        """Return a short name of the type of a schema."""
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            target = self._schemas[name]
            return f"[{name}](#{name.lower()})" if "properties" in target else self._type(target)
        if "anyOf" in schema:
            return " or ".join(self._type(option) for option in schema["anyOf"] if option.get("type") != "null")
        if "enum" in schema:
            return ", ".join(f"`{value}`" for value in schema["enum"])
        if schema.get("type") == "array":
            return f"list of {self._type(schema.get('items', {}))}"
        return "time" if schema.get("format") == "date-time" else _TYPE_NAMES.get(schema.get("type", ""), "anything")


def _table(header: Row, rows: Iterable[Row]) -> str:
    lines = ["| " + " | ".join(map(_cell, cells)) + " |" for cells in (header, *rows)]
    lines.insert(1, "|" + "---|" * len(header))
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
