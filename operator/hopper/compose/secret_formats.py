"""Formats of tokens and keys that are recognizable without the name of their variable, and random values."""

import re
from collections import Counter
from collections.abc import Iterator
from math import log2

# Tokens with a prefix that the service defines for them, so that scanners find them. Each entry is one issuer.
_PREFIXED = (
    r"gh[pousr]_\w{20,255}|github_pat_\w{20,255}",  # GitHub
    r"gl(?:pat|ptt|dt|rt|rtr|cbt|ft|oas|soat|imt|agent|ffct)-[\w-]{16,255}",  # GitLab
    r"[sr]k_(?:live|test)_\w{10,255}|whsec_[A-Za-z0-9+/=]{16,255}",  # Stripe
    r"A[KS]IA[0-9A-Z]{16}(?![0-9A-Z])",  # AWS
    r"xox[abeoprs]-[\w-]{10,255}|xapp-\d-[\w-]{10,255}",  # Slack
    r"AIza[\w-]{35}|GOCSPX-[\w-]{20,64}|ya29\.[\w-]{20,512}",  # Google
    r"sk-(?=[\w-]{0,64}\d)[\w-]{20,255}|gsk_\w{30,255}|hf_[A-Za-z0-9]{30,64}|r8_[A-Za-z0-9]{30,64}"
    r"|xai-[A-Za-z0-9]{40,128}|pplx-[A-Za-z0-9]{40,64}",  # OpenAI, Anthropic, Groq, Hugging Face, Replicate, xAI
    r"npm_[A-Za-z0-9]{30,64}|pypi-AgE[\w-]{40,512}|rubygems_[0-9a-f]{40,64}|dckr_[op]at_[\w-]{20,64}",
    r"SG\.[\w-]{16,32}\.[\w-]{30,64}|key-[0-9a-f]{32}(?![0-9a-f])|[0-9a-f]{32}-us\d{1,2}(?!\d)",  # mail services
    r"do[opr]_v1_[0-9a-f]{40,64}|HRKU-[\w-]{20,64}|dapi[0-9a-f]{32}|pscale_\w{2,6}_[\w.-]{20,64}"
    r"|sbp_[0-9a-f]{40}|sb_secret_[\w-]{16,64}|nfp_[A-Za-z0-9]{30,64}",  # platforms
    r"hv[sbr]\.[\w-]{20,512}|dp\.(?:pt|st|ct|sa|scim|audit)\.[\w.-]{20,64}|[A-Za-z0-9]{14}\.atlasv1\.[\w-]{40,128}"
    r"|pul-[0-9a-f]{40}|tskey-[a-z]{2,12}-[\w-]{10,128}|AGE-SECRET-KEY-1[A-Z0-9]{50,64}",  # Vault and the like
    r"gl(?:sa_\w{32}_\w{8}|c_[A-Za-z0-9+/=]{32,512})|sntry[su]_[\w+/=-]{32,512}|NRAK-[A-Z0-9]{27}",  # monitoring
    r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}|sq0(?:atp|csp)-[\w-]{20,64}|lin_api_\w{32,64}|ntn_\w{40,64}"
    r"|secret_[A-Za-z0-9]{43}|figd_[\w-]{20,64}|PMAK-[0-9a-f-]{40,64}",  # applications
    r"[MNO][A-Za-z0-9_-]{23,27}\.[\w-]{6}\.[\w-]{27,40}|\d{8,10}:AA[\w-]{33}|bot\d{6,10}:[\w-]{20,64}",  # chat bots
    r"[A-Za-z0-9_~.-]{3}8Q~[\w~.-]{31,34}",  # Azure
    r"eyJ[\w-]{10,512}+\.[\w-]{10,8192}+\.[\w-]{0,2048}",  # JSON web tokens
    r"claim-[\w-]{20}",  # Plex
)
# Neither a letter nor a digit precedes a token, because words may end like a prefix, such as `task-`.
TOKEN = re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(_PREFIXED)})", re.ASCII)
# Addresses that give rights to every client that knows them. The secret part follows the name of the service.
_WEBHOOK = re.compile(
    r"hooks\.slack\.com/(?:services|workflows|triggers)/\w+/|discord(?:app)?\.com/api/webhooks/\d"
    r"|\.webhook\.office\.com/webhookb2/|hooks\.zapier\.com/hooks/catch/\d|/bot\d{6,}:[\w-]{20}"
    r"|[?&](?:sig|X-Amz-Signature)=[\w%+/-]{20}"
)
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]{0,32}PRIVATE KEY|PuTTY-User-Key-File-\d")
_PASSWORD_HASH = re.compile(r"\$(?:apr1|2[abxy]|argon2\w{1,2}|[156y])\$[\w./$=,+-]{8}")
# A header of a request, as in `curl -H "Authorization: Bearer …"`.
CREDENTIAL_HEADER = re.compile(
    r"(?i)\b(?:(?:proxy-)?authorization|private-token|(?:x-)?(?:[a-z]{1,16}-){0,2}(?:api-?key|token|secret))\s{0,4}:"
    r"\s{0,4}(?:(?:bearer|basic|token)\s{1,4})?(?!(?:bearer|basic|token)\b)"
    r"(?P<secret>[A-Za-z0-9+/=._~:-]{6,512}+)(?![^\s\"'\\;)])"
)
_RANDOM_ALPHABET = re.compile(r"[A-Za-z0-9+/_-]{16,1024}={0,2}", re.ASCII)
_HEXADECIMAL = re.compile(r"(?:0x)?[0-9a-fA-F-]{24,1024}")
_MIN_RANDOM_BITS = 3.5


def has_secret_format(text: str) -> bool:
    """Whether a text contains a token, a private key, a password hash, or the address of a webhook."""
    return any(pattern.search(text) for pattern in (TOKEN, _WEBHOOK, _PRIVATE_KEY, _PASSWORD_HASH))


def find_tokens(text: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of tokens of well-known formats, and of the credentials in headers."""
    yield from (match.span() for match in TOKEN.finditer(text))
    yield from (match.span("secret") for match in CREDENTIAL_HEADER.finditer(text))


def is_random(value: str) -> bool:
    """Whether a value looks like a generated key: one long word of mixed letters and digits without a pattern."""
    if not re.search(r"\d", value) or not re.search(r"[A-Za-z]", value):
        return False
    if _HEXADECIMAL.fullmatch(value):
        return _bits_per_character(value.lower()) >= 3
    if not _RANDOM_ALPHABET.fullmatch(value) or value.startswith("/"):
        return False
    mixes_cases = bool(re.search(r"[a-z]", value) and re.search(r"[A-Z]", value))
    has_words = re.search(r"[A-Za-z][a-z]{6}", value) is not None
    return mixes_cases and not has_words and _bits_per_character(value) >= _MIN_RANDOM_BITS


def _bits_per_character(text: str) -> float:
    """Return the Shannon entropy of the characters in a text."""
    return -sum(count / len(text) * log2(count / len(text)) for count in Counter(text).values())
