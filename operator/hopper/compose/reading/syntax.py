"""The short syntaxes of compose: volumes, ports, durations, sizes, switches, and words of a command line."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from hopper.compose.reading.text import as_text, derive

_DRIVE = re.compile(r"[A-Za-z]:\\|[A-Z]:/")
_PORTS = re.compile(r"\d*(-\d+)?")
_RANGE = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")
_DURATION = re.compile(r"(?P<number>\d+(?:\.\d*)?|\.\d+)(?P<unit>ns|us|µs|μs|ms|s|m|h|d|w)")
_UNITS = {
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
_POWERS = "kmgtp"
_TRUE = frozenset({"true", "yes", "on", "y", "1"})
_FALSE = frozenset({"false", "no", "off", "n", "0", ""})


@dataclass(frozen=True, slots=True)
class ShortVolume:
    """`source:target:options`; without a source the volume is anonymous."""

    source: str | None
    target: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ShortPort:
    """`ip:published:target/protocol`, the numbers still as text."""

    target: str
    published: str | None = None
    host_ip: str | None = None
    protocol: str | None = None


def split_volume(text: str) -> ShortVolume | None:
    """Return the parts of a volume; None for what is none."""
    parts = list(_volume_parts(text))
    options: tuple[str, ...] = ()
    if len(parts) == 3:
        options = tuple(filter(None, (option.strip() for option in parts.pop().split(","))))
    if len(parts) > 2 or not parts[-1]:
        return None
    target = derive(parts[-1], text)
    return ShortVolume(derive(parts[0], text) if len(parts) == 2 else None, target, options)


def _volume_parts(text: str) -> Iterator[str]:
    """Split at colons, but not behind the letter of a drive."""
    rest = text
    while True:
        skip = 2 if _DRIVE.match(rest) else 0
        colon = rest.find(":", skip)
        if colon < 0:
            yield rest
            return
        yield rest[:colon]
        rest = rest[colon + 1 :]


def split_port(text: str) -> ShortPort | None:
    """Return the parts of a port; None for what is none."""
    ports, slash, protocol = text.strip().partition("/")
    *host, target = ports.rsplit(":", 2)
    if not target or (slash and not protocol):
        return None
    published = host.pop() if host else ""
    host_ip = "".join(host)
    if not _PORTS.fullmatch(published):
        # Behind an address, the published port may be left out together with its colon.
        if host_ip:
            host_ip, published = f"{host_ip}:{published}", ""
        else:
            host_ip, published = published, ""
    return ShortPort(target, published or None, host_ip.strip("[]") or None, protocol or None)


def port_range(value: object) -> range | None:
    """Return the ports of `80` or `8000-8010`; None for what is none."""
    match = _RANGE.fullmatch(as_text(value).strip())
    if match is None:
        return None
    first, last = int(match[1]), int(match[2] or match[1])
    return range(first, last + 1) if 1 <= first <= last <= 65535 else None


def seconds(value: object) -> Fraction | None:
    """Return the seconds of a duration such as `1m30s`; a bare number counts as seconds. None for what is none."""
    text = as_text(value).strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return Fraction(text)
    total, position = Fraction(0), 0
    for match in _DURATION.finditer(text):
        if match.start() != position:
            return None
        total += Fraction(match["number"].rstrip(".")) * _UNITS[match["unit"]]
        position = match.end()
    return total if text and position == len(text) else None


def size_in_bytes(value: object) -> int | None:
    """Return the bytes of a size such as `512m` (units are powers of 1024). None for what is none."""
    match = _SIZE.fullmatch(as_text(value).strip())
    if match is None:
        return None
    power = _POWERS.find(match["unit"].lower()) + 1 if match["unit"] else 0
    return int(Fraction(match["number"]) * 1024**power)


def switch(value: object) -> bool | None:
    """Return what a boolean says, also where variables made it a string. None for what is none."""
    if value is None:
        return None
    text = as_text(value).strip().lower()
    return True if text in _TRUE else False if text in _FALSE else None
