"""What looks like a secret: names of variables and options, and values that hold a password."""

import re

_NAME = re.compile(
    r"""
    pass(word|wd|phrase|code|key) | (^|[_.-])pass([_.-]|$) | (?<!by)(?<!com)(?<!tres)pass$ | [_.-]pw$ | (?<=.)pwd$ |
    masterauth | rediscli_auth | (^|[_.-])(jwt|psk|pin)$ | pepper$ | mnemonic | (auth|master|priv|app|signing)key$ |
    secret | token | credential | (^|[_.-])cred(s)?([_.-]|$) |
    api[_.-]?key | access[_.-]?key | private[_.-]?key | secret[_.-]?key | encryption[_.-]?key | (^|[_.-])keys?$ |
    (^|[_.-])salt$ | cookie$ | (^|[_.-])dsn$ | htpasswd | connection[_.-]?string
    """,
    re.IGNORECASE | re.VERBOSE,
)
# Of these, the value is a place or a switch, whatever else the name says.
_NO_SECRET = re.compile(r"[_.-](file|path|dir|directory|location|enabled|disabled|required)$", re.IGNORECASE)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SWITCH = frozenset({"", "true", "false", "yes", "no", "on", "off", "none", "null", "0", "1"})
_LOGIN_NAME = re.compile(r"(^|[_.-])auth([_.-]users?)?$", re.IGNORECASE)
_LOGIN = re.compile(r"[^\s/:]+[/:](?!//)\S+")

# The password of a URL; an assignment inside a connection string, JSON or options; well-known forms of tokens.
URL_PASSWORD = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]{0,31}://[^\s/:@'\"]{0,255}:(?P<secret>(?!\d{1,5}/)[^\s@'\"/$][^\s@'\"]{0,511})@"
)
_ASSIGNMENT = re.compile(
    r"""(?ix) (password|passwd|passphrase|pwd|secret|token|api[_-]?key|account[_-]?key|access[_-]?key)
        ["')\]]{0,3} \s*[=:]>?\s* ["']? (?P<secret>[^\s;&,"'{}\[\]$]{2,})"""
)
# As in WordPress's PHP: `define('AUTH_KEY', '...')`.
_DEFINED = re.compile(
    r"define\(\s{0,8}[\"'](?P<name>\w{1,64})[\"']\s{0,8},\s{0,8}[\"'](?P<secret>[^\"'\n]{2,512})[\"']"
)
_URL_TOKEN = re.compile(r"://(?=[A-Za-z_-]{0,64}\d)[A-Za-z0-9_-]{16,255}@")
_KNOWN_FORM = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|\b(AKIA[0-9A-Z]{16}|gh[pousr]_\w{20,}|glpat-[\w-]{16,}|xox[abprs]-[\w-]{10,}"
    r"|sk-[\w-]{20,}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*|hooks\.slack\.com/services/\w+/|discord(app)?\.com/api/webhooks/\d"
    r"|claim-[\w-]{20})|\$(apr1|2[abxy]|argon2\w{1,2}|[156y])\$[\w./$=,+-]{8}|/bot\d{6,}:[\w-]{20}"
)


def is_secret_name(name: str) -> bool:
    """Tell whether a variable or an option of that name most likely holds a secret."""
    spelled = _CAMEL.sub("_", name)
    return bool(_NAME.search(spelled)) and not _NO_SECRET.search(spelled)


def is_switch(value: str) -> bool:
    """Tell whether a value turns something on or off, or is empty: no secret under any name."""
    return value.strip().lower() in _SWITCH


def is_secret_text(text: str) -> bool:
    """Tell whether a text holds a password or token in a URL, a private key, or a token of a well-known form."""
    if _KNOWN_FORM.search(text) or URL_PASSWORD.search(text) or _URL_TOKEN.search(text):
        return True
    return any(is_secret_name(found["name"]) for found in _DEFINED.finditer(text))


def is_secret_value(name: str, value: str) -> bool:
    """Tell whether a value holds a secret by itself: a password in a URL or connection string, a key, a login."""
    if is_secret_text(value):
        return True
    if any(not is_switch(found["secret"]) for found in _ASSIGNMENT.finditer(value)):
        return True
    return bool(_LOGIN_NAME.search(name) and _LOGIN.fullmatch(value))


def passwords_in(value: str) -> tuple[str, ...]:
    """Return the parts of a value that are secret by themselves, such as the password of a URL."""
    found = [match["secret"] for match in URL_PASSWORD.finditer(value)]
    found += [match["secret"] for match in _ASSIGNMENT.finditer(value) if not is_switch(match["secret"])]
    found += [match["secret"] for match in _DEFINED.finditer(value) if is_secret_name(match["name"])]
    return tuple(dict.fromkeys(found))
