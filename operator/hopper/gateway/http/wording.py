"""What is wrong with a value, in words that say what to write instead; pydantic's own are for programmers."""

from collections.abc import Mapping

_NAME = "lower-case letters, digits and hyphens, and a letter or digit at both ends"
_QUANTITY = "has to be a quantity, such as 500m, 2 or 1Gi"

SAYINGS: Mapping[str, str] = {
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$": f"has to be made of {_NAME}, such as web-1",
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$": "has to be made of lower-case letters, "
    "digits, hyphens and dots, with a letter or digit at both ends and beside each dot, such as web-1",
    r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$": _QUANTITY,
    r"^[A-Za-z_][A-Za-z0-9_.-]*$": "has to begin with a letter or _, and go on with letters, digits, and _ . -",
    r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$": "has to be the name of a "
    "label: letters, digits, and _ . - between them, maybe behind a domain and a slash, such as example.org/tier",
    r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$": "has to be the value of a label: letters and digits, "
    "and _ . - between them, or nothing",
    r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$": "has to be a domain in lower case, "
    "such as shop.example.org or *.example.org",
    r"^0?[0-7]{3}$": "has to be a file mode in octal, such as 0644",
    r"^[A-Za-z0-9][A-Za-z0-9._/:@+-]*$": "has to be an image, such as nginx:1.27 or registry.example.org/shop:1",
    r"^/": "has to be a path from the root, such as /srv",
    r"^[0-9]{1,10}(:[0-9]{1,10})?$": "has to be a number of a user, or of a user and a group, such as 1000:1000",
    r"^[^=]+=": "has to be a label as key=value, such as tier=web",
    r"^[1-9][0-9]{0,18}$": "has to be the resource_version of an answer, such as 1207",
    r'^(\*|[1-9][0-9]{0,18}|(W/)?"[1-9][0-9]{0,18}")$': 'has to be the ETag of an answer, such as "1207", or *',
}

_MATCH = "String should match pattern '"
# By pydantic's kind of error.
_SAID: Mapping[str, str] = {
    "missing": "is missing: it has to be given",
    "extra_forbidden": "is not known here: remove it, or mend its name",
    "unexpected_keyword_argument": "is not known here: remove it, or mend its name",
    "bool_parsing": "has to be true or false",
    "bool_type": "has to be true or false",
    "int_parsing": "has to be an integer",
    "float_parsing": "has to be a number",
}


def worded(kind: str, message: str) -> str:
    """Return what to tell people about a value, given the kind of error and what pydantic says."""
    if message.startswith(_MATCH):
        return SAYINGS.get(message[len(_MATCH) : -1], message)
    return _SAID.get(kind) or message.removeprefix("Value error, ")
