"""Parsers of the short syntaxes of compose: volumes, ports, durations, sizes and booleans.

All of them return None for an invalid value.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from hopper.compose.reading.tracked_text import as_text, derive_text

_WINDOWS_DRIVE = re.compile(r"[A-Za-z]:\\|[A-Z]:/")
_PUBLISHED_PORTS = re.compile(r"\d*(-\d+)?")
_PORT_RANGE = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")
_DURATION = re.compile(r"(?P<number>\d+(?:\.\d*)?|\.\d+)(?P<unit>ns|us|µs|μs|ms|s|m|h|d|w)")
_SECONDS = {
    **dict.fromkeys(("us", "µs", "μs"), Fraction(1, 1_000_000)),
    "ns": Fraction(1, 1_000_000_000),
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
    "d": Fraction(86400),
    "w": Fraction(604800),
}
_SIZE = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[kmgtp]?)i?b?", re.IGNORECASE)
_SIZE_UNITS = "kmgtp"
_TRUE = frozenset({"true", "yes", "on", "y", "1"})
_FALSE = frozenset({"false", "no", "off", "n", "0", ""})


@dataclass(frozen=True, slots=True)
class ShortVolume:
    """Parts of `source:target:options`. An anonymous volume has no source."""

    source: str | None
    target: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ShortPort:
    """Parts of `ip:published:target/protocol`, all of them as text."""

    target: str
    published: str | None = None
    host_ip: str | None = None
    protocol: str | None = None


def parse_short_volume(text: str) -> ShortVolume | None:
    """Return the parts of a volume."""
    parts = list(_split_volume(text))
    options: tuple[str, ...] = ()
    if len(parts) == 3:
        options = tuple(filter(None, (option.strip() for option in parts.pop().split(","))))
    if len(parts) > 2 or not parts[-1]:
        return None
    target = derive_text(parts[-1], text)
    return ShortVolume(derive_text(parts[0], text) if len(parts) == 2 else None, target, options)


def _split_volume(text: str) -> Iterator[str]:
    """Split a volume at its colons, except for the colon of a Windows drive."""
    rest = text
    while True:
        skip = 2 if _WINDOWS_DRIVE.match(rest) else 0
        colon = rest.find(":", skip)
        if colon < 0:
            yield rest
            return
        yield rest[:colon]
        rest = rest[colon + 1 :]


def parse_short_port(text: str) -> ShortPort | None:
    """Return the parts of a port."""
    ports, slash, protocol = text.strip().partition("/")
    *host, target = ports.rsplit(":", 2)
    if not target or (slash and not protocol):
        return None
    published = host.pop() if host else ""
    host_ip = "".join(host)
    if not _PUBLISHED_PORTS.fullmatch(published):
        # After an address, the published port may be omitted together with its colon.
        if host_ip:
            host_ip, published = f"{host_ip}:{published}", ""
        else:
            host_ip, published = published, ""
    return ShortPort(target, published or None, host_ip.strip("[]") or None, protocol or None)


def parse_port_range(value: object) -> range | None:
    """Return the port numbers of `80` or `8000-8010`."""
    match = _PORT_RANGE.fullmatch(as_text(value).strip())
    if match is None:
        return None
    first, last = int(match[1]), int(match[2] or match[1])
    return range(first, last + 1) if 1 <= first <= last <= 65535 else None


def parse_seconds(value: object) -> Fraction | None:
    """Return the seconds of a duration such as `1m30s`; a number without a unit is in seconds."""
    text = as_text(value).strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return Fraction(text)
    total, position = Fraction(0), 0
    for match in _DURATION.finditer(text):
        if match.start() != position:
            return None
        total += Fraction(match["number"].rstrip(".")) * _SECONDS[match["unit"]]
        position = match.end()
    return total if text and position == len(text) else None


def parse_size(value: object) -> int | None:
    """Return the bytes of a size such as `512m`. Units are powers of 1024."""
    match = _SIZE.fullmatch(as_text(value).strip())
    if match is None:
        return None
    power = _SIZE_UNITS.find(match["unit"].lower()) + 1 if match["unit"] else 0
    return int(Fraction(match["number"]) * 1024**power)


def parse_boolean(value: object) -> bool | None:
    """Return a boolean, which may be a string after variables were inserted."""
    if value is None:
        return None
    text = as_text(value).strip().lower()
    return True if text in _TRUE else False if text in _FALSE else None
