"""Detection of secrets by names of variables and options, and by values that contain a password or token."""

import re

_SECRET_NAME = re.compile(
    r"""
    pass(word|wd|phrase|code|key) | (^|[_.-])pass([_.-]|$) | (?<!by)(?<!com)(?<!tres)pass$ | [_.-]pw$ | (?<=.)pwd$ |
    masterauth | rediscli_auth | (^|[_.-])(jwt|psk|pin)$ | pepper$ | mnemonic | (auth|master|priv|app|signing)key$ |
    secret | token | credential | (^|[_.-])cred(s)?([_.-]|$) |
    api[_.-]?key | access[_.-]?key | private[_.-]?key | secret[_.-]?key | encryption[_.-]?key | (^|[_.-])keys?$ |
    (^|[_.-])salt$ | cookie$ | (^|[_.-])dsn$ | htpasswd | connection[_.-]?string
    """,
    re.IGNORECASE | re.VERBOSE,
)
# A name with one of these endings holds a location or a boolean, even if it also looks like the name of a secret.
_PUBLIC_ENDING = re.compile(r"[_.-](file|path|dir|directory|location|enabled|disabled|required)$", re.IGNORECASE)
_CAMEL_CASE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_TRIVIAL_VALUES = frozenset({"", "true", "false", "yes", "no", "on", "off", "none", "null", "0", "1"})
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
# Private keys, and tokens and password hashes of well-known formats.
_KNOWN_FORMAT = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|\b(AKIA[0-9A-Z]{16}|gh[pousr]_\w{20,}|glpat-[\w-]{16,}|xox[abprs]-[\w-]{10,}"
    r"|sk-[\w-]{20,}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*|hooks\.slack\.com/services/\w+/|discord(app)?\.com/api/webhooks/\d"
    r"|claim-[\w-]{20})|\$(apr1|2[abxy]|argon2\w{1,2}|[156y])\$[\w./$=,+-]{8}|/bot\d{6,}:[\w-]{20}"
)


def is_secret_name(name: str) -> bool:
    """Whether a variable or option of this name probably holds a secret."""
    separated = _CAMEL_CASE.sub("_", name)
    return bool(_SECRET_NAME.search(separated)) and not _PUBLIC_ENDING.search(separated)


def is_trivial_value(value: str) -> bool:
    """Whether a value is a boolean or empty, and so not a secret under any name."""
    return value.strip().lower() in _TRIVIAL_VALUES


def is_secret_text(text: str) -> bool:
    """Whether a text contains a password or token in a URL, a private key, or a token of a well-known format."""
    if _KNOWN_FORMAT.search(text) or URL_PASSWORD.search(text) or _URL_TOKEN.search(text):
        return True
    return any(is_secret_name(constant["name"]) for constant in _PHP_CONSTANT.finditer(text))


def is_secret_value(name: str, value: str) -> bool:
    """Whether the value of a variable contains a secret, such as a password in a URL, a key, or a login."""
    if is_secret_text(value):
        return True
    if any(not is_trivial_value(assignment["secret"]) for assignment in _ASSIGNMENT.finditer(value)):
        return True
    return bool(_LOGIN_NAME.search(name) and _LOGIN.fullmatch(value))


def find_passwords(value: str) -> tuple[str, ...]:
    """Return the parts of a value that are secret themselves, such as the password of a URL."""
    found = [match["secret"] for match in URL_PASSWORD.finditer(value)]
    found += [match["secret"] for match in _ASSIGNMENT.finditer(value) if not is_trivial_value(match["secret"])]
    found += [match["secret"] for match in _PHP_CONSTANT.finditer(value) if is_secret_name(match["name"])]
    return tuple(dict.fromkeys(found))
