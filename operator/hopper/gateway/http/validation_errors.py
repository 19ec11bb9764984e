"""422 responses, with messages that say what value a field must have.

Pydantic's own messages are for programmers: they quote regular expressions and Python types.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hopper.gateway.http.errors import FieldError, ValidationFailedError

_NAME = "lower-case letters, digits and hyphens, and begin and end with a letter or digit"

PATTERN_MESSAGES: Mapping[str, str] = {
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$": f"must consist of {_NAME}, for example web-1",
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$": "must consist of lower-case letters, "
    "digits, hyphens and dots, with a letter or digit at both ends and next to each dot, for example web-1",
    r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$": "must be a quantity, for example 500m, 2 or 1Gi",
    r"^[A-Za-z_][A-Za-z0-9_.-]*$": "must begin with a letter or _, followed by letters, digits, and _ . -",
    r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$": "must be a label name: "
    "letters, digits, and _ . - between them, optionally after a domain and a slash, for example example.org/tier",
    r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$": "must be a label value: empty, or letters and digits with "
    "_ . - between them",
    r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$": "must be a domain in lower case, "
    "for example shop.example.org or *.example.org",
    r"^0?[0-7]{3}$": "must be a file mode in octal, for example 0644",
    r"^[A-Za-z0-9][A-Za-z0-9._/:@+-]*$": "must be an image, for example nginx:1.27 or registry.example.org/shop:1",
    r"^/": "must be an absolute path, for example /srv",
    r"^[0-9]{1,10}(:[0-9]{1,10})?$": "must be a user id, or a user id and a group id, for example 1000:1000",
    r"^[^=]+=": "must be a label as key=value, for example tier=web",
    r"^[1-9][0-9]{0,18}$": "must be the resource_version of a response, for example 1207",
    r'^(\*|[1-9][0-9]{0,18}|(W/)?"[1-9][0-9]{0,18}")$': 'must be the ETag of a response, for example "1207", or *',
}

_PATTERN_MISMATCH = "String should match pattern '"
_MESSAGES_BY_TYPE: Mapping[str, str] = {
    "missing": "is required",
    "extra_forbidden": "is not a known field: remove it, or correct its name",
    "unexpected_keyword_argument": "is not a known field: remove it, or correct its name",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "int_parsing": "must be an integer",
    "float_parsing": "must be a number",
}
_FIELDS_IN_DETAIL = 5


def field_message(error_type: str, message: str) -> str:
    """Return the message for a field, given pydantic's type of error and message."""
    if message.startswith(_PATTERN_MISMATCH):
        return PATTERN_MESSAGES.get(message[len(_PATTERN_MISMATCH) : -1], message)
    return _MESSAGES_BY_TYPE.get(error_type) or message.removeprefix("Value error, ")


def field_error(location: Sequence[int | str], message: str, error_type: str) -> FieldError:
    """Return an entry of `errors`. The location is written as `body -> scope`."""
    return {"field": " -> ".join(map(str, location)), "message": message, "type": error_type}


def summarize(errors: Sequence[FieldError]) -> str:
    """Return the `detail` for field errors: the first few, each with its field."""
    return "; ".join(f"{error['field']}: {error['message']}" for error in errors[:_FIELDS_IN_DETAIL])


def validation_failed(errors: Sequence[Mapping[str, Any]], *prefix: str) -> ValidationFailedError:
    """Return the 422 for pydantic's errors. Values are not repeated, because they may be secret."""
    field_errors = [
        field_error((*prefix, *error["loc"]), field_message(error["type"], error["msg"]), error["type"])
        for error in errors
    ]
    return ValidationFailedError(summarize(field_errors), errors=field_errors)


def invalid_field(field: str, message: str, error_type: str) -> ValidationFailedError:
    """Return the 422 for one field of the body, given as a dotted path."""
    error = field_error(("body", *field.split(".")), message, error_type)
    return ValidationFailedError(f"{field}: {message}", errors=[error])


def invalid_body(message: str, error_type: str) -> ValidationFailedError:
    """Return the 422 for the body as a whole."""
    return ValidationFailedError(f"body: {message}", errors=[field_error(("body",), message, error_type)])
