"""Detection of secrets by names of variables and options, and by values that contain a password or token."""

import re

from hopper.compose.secret_formats import find_tokens, has_secret_format, is_random

_SECRET_NAME = re.compile(
    r"""
    pass(word|wd|phrase|code|key) | (^|[_.-])pass([_.-]|$) | (?<!by)(?<!com)(?<!tres)pass$ | [_.-]pw$ | (?<=.)pwd$ |
    pswd | masterauth | rediscli_auth | (^|[_.-])(jwt|psk|pin|pat|hmac|bearer)$ |
    pepper$ | mnemonic | (auth|master|priv|app|signing)key$ |
    secret | token | credential | (^|[_.-])cred(s)?([_.-]|$) |
    api[_.-]?key | access[_.-]?key | private[_.-]?key | secret[_.-]?key | encryption[_.-]?key | (^|[_.-])keys?$ |
    (^|[_.-])salt$ | cookie$ | (^|[_.-])dsn$ | htpasswd | connection[_.-]?string
    """,
    re.IGNORECASE | re.VERBOSE,
)
# Names of secrets and of other things. Their values are secret if they are random.
_AMBIGUOUS_NAME = re.compile(
    r"key | auth | access | sign | seed | crypt | cipher | hash | license | licence | session | csrf | jwt | webhook",
    re.IGNORECASE | re.VERBOSE,
)
_PUBLIC_NAME = re.compile(
    r"public | pub_?key | finger_?print | checksum | digest | sha\d | (^|[_.-])ids?$", re.IGNORECASE | re.VERBOSE
)
# A name with one of these endings holds a location or a boolean, even if it also looks like the name of a secret.
_PUBLIC_ENDING = re.compile(r"[_.-](file|path|dir|directory|location|enabled|disabled|required)$", re.IGNORECASE)
_CAMEL_CASE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_TRIVIAL_VALUES = frozenset({"", "true", "false", "yes", "no", "on", "off", "none", "null", "0", "1"})
_COMMON_WORD = re.compile(r"(?=.{1,24}\Z)[A-Za-z]+([ _.@-][A-Za-z]+)*\d{0,2}")
_IDENTITY_NAME = re.compile(
    r"(user|login|name|db|database|schema|host|server|service|mail|(^|[_.-])id|bucket|realm|owner|account|role|org|group)s?$",
    re.IGNORECASE,
)
_LOCATION = re.compile(r"\.{0,2}/|https?://")
_LOGIN_NAME = re.compile(r"(^|[_.-])auth([_.-]users?)?$", re.IGNORECASE)
_LOGIN = re.compile(r"[^\s/:]+[/:](?!//)\S+")

URL_PASSWORD = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]{0,31}://[^\s/:@'\"]{0,255}:(?P<secret>(?!\d{1,5}/)[^\s@'\"/$][^\s@'\"]{0,511})@"
)
# An assignment inside a connection string, JSON, or options.
_ASSIGNMENT = re.compile(
    r"""(?ix) (password|passwd|passphrase|pwd|secret|token|api[_-]?key|account[_-]?key|access[_-]?key)
        ["')\]]{0,3} \s*[=:]>?\s* ["']? (?P<secret>[^\s;&,"'{}\[\]$]{2,})"""
)
# A PHP constant, as in the configuration of WordPress: `define('AUTH_KEY', '...')`.
_PHP_CONSTANT = re.compile(
    r"define\(\s{0,8}[\"'](?P<name>\w{1,64})[\"']\s{0,8},\s{0,8}[\"'](?P<secret>[^\"'\n]{2,512})[\"']"
)
_URL_TOKEN = re.compile(r"://(?=[A-Za-z_-]{0,64}\d)[A-Za-z0-9_-]{16,255}@")


def is_secret_name(name: str) -> bool:
    """Whether a variable or option of this name probably holds a secret."""
    separated = _CAMEL_CASE.sub("_", name)
    return bool(_SECRET_NAME.search(separated)) and not _PUBLIC_ENDING.search(separated)


def _is_ambiguous_name(name: str) -> bool:
    separated = _CAMEL_CASE.sub("_", name)
    return bool(_AMBIGUOUS_NAME.search(separated)) and not _PUBLIC_NAME.search(separated)


def is_trivial_value(value: str) -> bool:
    """Whether a value is a boolean or empty, and so not a secret under any name."""
    return value.strip().lower() in _TRIVIAL_VALUES


def is_public_value(name: str, value: str) -> bool:
    """Whether a value is public under a name, even if it is also the password of something.

    Examples are `POSTGRES_USER: postgres` beside `POSTGRES_PASSWORD: postgres`, and the path of a secret file.
    """
    return is_location(value) or (is_common_word(value) and bool(_IDENTITY_NAME.search(_CAMEL_CASE.sub("_", name))))


def is_location(value: str) -> bool:
    """Whether a value is a path or an address."""
    return bool(_LOCATION.match(value))


def is_common_word(value: str) -> bool:
    """Whether a value is a word or number that also has other meanings than that of a password."""
    bare = value.strip().strip("'\"")
    return bare.isdecimal() or bool(_COMMON_WORD.fullmatch(bare))


def is_secret_text(text: str) -> bool:
    """Whether a text contains a password or token in a URL, or a token or key of a well-known format."""
    if has_secret_format(text) or URL_PASSWORD.search(text) or _URL_TOKEN.search(text):
        return True
    return any(is_secret_name(constant["name"]) for constant in _PHP_CONSTANT.finditer(text))


def is_secret_value(name: str, value: str) -> bool:
    """Whether the value of a variable contains a secret, such as a password in a URL, a key, or a login."""
    if is_secret_text(value):
        return True
    if _is_ambiguous_name(name) and is_random(value.strip()):
        return True
    if any(not is_trivial_value(assignment["secret"]) for assignment in _ASSIGNMENT.finditer(value)):
        return True
    return bool(_LOGIN_NAME.search(name) and _LOGIN.fullmatch(value))


def find_passwords(value: str) -> tuple[str, ...]:
    """Return the parts of a value that are secret themselves, such as a token or the password of a URL."""
    passwords = [match["secret"] for match in URL_PASSWORD.finditer(value)]
    passwords += [match["secret"] for match in _ASSIGNMENT.finditer(value) if not is_trivial_value(match["secret"])]
    passwords += [value[start:end] for start, end in find_tokens(value)]
    passwords += [match["secret"] for match in _PHP_CONSTANT.finditer(value) if is_secret_name(match["name"])]
    return tuple(dict.fromkeys(passwords))
