"""Search for host names in texts. A name counts as a host only where its context leaves no doubt."""

import re
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

_HOST_VARIABLE = re.compile(r"host|addr|server|url|uri|endpoint|broker|upstream|proxy|seed", re.IGNORECASE)
# A variable such as SERVER_NAME or DB_NAME, but not HOST_NAME.
_NOT_HOST_VARIABLE = re.compile(r"(?<!host)(?<!host[_.-])name$", re.IGNORECASE)
_VERSION_VARIABLE = re.compile(r"image|tag|version", re.IGNORECASE)
_URL = re.compile(
    r"(?P<scheme>[A-Za-z][\w+.]{0,31})://(?:[^@/\s'\"]*@)?(?P<name>[\w.-]*\w)(?::(?P<port>\d{1,5}))?(?![\w@:-]|\.\w)"
)
# A URL of several hosts, as MinIO uses it: `http://minio{1...4}:9000/data`.
_URL_WITH_RANGE = re.compile(
    r"https?://(?P<stem>[\w.-]*)(?P<range>\{(?P<first>\d{1,3})\.\.\.\d{1,3}\})(?::(?P<port>\d{1,5}))?"
)
_NAME_WITH_PORT = re.compile(r"(?<![\w.$-])(?<!(?<!/)/)(?P<name>[\w.-]*\w):(?P<port>\d{2,5})(?![\w@-]|\.\d)")
# Further ports behind the first one, as ZooKeeper uses them: `zoo1:2888:3888`.
_MORE_PORTS = re.compile(r"(:\d{2,5})+(?![\w.-])")
_NAME_BEFORE_PORT = re.compile(r"(?<=\s)(?P<name>[\w.-]*\w) +(?P<port>\d{2,5})(?=[\s;&|)]|$)")
# The name of an upstream group of nginx. `proxy_pass http://NAME` refers to the group, not to a host.
_NGINX_UPSTREAM = re.compile(r"(?m)^\s{0,64}upstream\s{1,64}([\w.-]+)\s{0,64}\{")
_HOST_OPTION = r"(?:-h|--?[\w-]*(?:host|server|addr|address))"
# A node of ZooKeeper listens at its own address in ZOO_SERVERS.
_LISTEN_SETTING = re.compile(r"listen|bind|zoo(keeper)?_servers", re.IGNORECASE)
_ADVERTISED_SETTING = re.compile(r"advertis|public|external", re.IGNORECASE)
# A smaller number behind a name is probably a version, as in `postgres:17`, unless the service has that port.
_MIN_PORT = 80
_DEFAULT_PORTS = {
    **dict.fromkeys(("http", "ws"), 80),
    **dict.fromkeys(("https", "wss"), 443),
    **dict.fromkeys(("postgres", "postgresql"), 5432),
    **dict.fromkeys(("mysql", "mysql2", "mariadb"), 3306),
    "redis": 6379,
    "amqp": 5672,
    "mongodb": 27017,
}
# Ports of the hosts in variables that list hosts without a port. The nodes of Elasticsearch find each other that way.
_VARIABLE_PORTS = {"discovery.seed_hosts": 9300, "discovery.zen.ping.unicast.hosts": 9300}


@dataclass(frozen=True, slots=True)
class HostMention:
    """Position of a host name in a text.

    Attributes:
        start: Index of the first character of the name.
        end: Index after the last character of the name, or of the port if the text contains it.
        name: The host name.
        port: Port of the host, or None if it is unknown.
        has_explicit_port: Whether the text contains the port, rather than that it follows from the URL scheme.
        is_whole_text: Whether the text consists of the name only.
        separator: Text between name and port.
        more_ports: Ports after the first one in the text.
        range: Range at the end of a name that stands for several hosts, such as `{1...4}`.
    """

    start: int
    end: int
    name: str
    port: int | None = None
    has_explicit_port: bool = False
    is_whole_text: bool = False
    separator: str = ":"
    more_ports: tuple[int, ...] = ()
    range: str = ""

    @property
    def ports(self) -> tuple[int, ...]:
        """All known ports of the host."""
        return self.more_ports if self.port is None else (self.port, *self.more_ports)

    def render(self, host: str, port: int | None) -> str:
        """Return the replacement text for another host and port; None omits the port."""
        host = re.sub(r"\d+$", "", host) + self.range if self.range else host
        return host if port is None else f"{host}{self.separator}{port}"


def is_listen_setting(text: str) -> bool:
    """Whether a variable or option sets the address to listen on, and not the one that clients connect to."""
    return bool(_LISTEN_SETTING.search(text)) and not _ADVERTISED_SETTING.search(text)


def find_mentions(key: str, text: str, ports: Mapping[str, Collection[int]]) -> list[HostMention]:
    """Return the positions of hosts in a text. `key` is its variable or option; `ports` holds the ports by host."""
    found: dict[int, HostMention] = {}
    upstreams = set(_NGINX_UPSTREAM.findall(text))
    for mention in (*_find_in_urls(text), *_find_with_ports(key, text, ports), *_find_in_lists(key, text, ports)):
        if mention.name in ports and (mention.has_explicit_port or mention.name not in upstreams):
            found.setdefault(mention.start, mention)
    return [mention for _, mention in sorted(found.items())]


def find_mentions_in_words(
    words: Sequence[str], ports: Mapping[str, Collection[int]]
) -> Iterator[tuple[int, HostMention]]:
    """Yield the positions of hosts in the words of a command line, each with the index of its word."""
    option = ""
    for index, word in enumerate(words):
        mentions = find_mentions(option, word, ports)
        if word in ports and re.fullmatch(_HOST_OPTION, option):
            mentions.append(HostMention(0, len(word), word))
        elif match := re.search(rf"(?:^|\s){_HOST_OPTION}[ =](?P<name>[\w.-]+)(?![\w.:-])", word):
            mentions += [HostMention(*match.span("name"), match["name"])] if match["name"] in ports else []
        mentions += _find_before_ports(word, ports)
        yield from ((index, mention) for mention in {mention.start: mention for mention in mentions}.values())
        option = word if word.startswith("-") else ""


def replace_mentions(text: str, replacements: Iterable[tuple[HostMention, str]]) -> str:
    """Return the text with each mention replaced."""
    for mention, replacement in sorted(replacements, key=lambda pair: pair[0].start, reverse=True):
        text = text[: mention.start] + replacement + text[mention.end :]
    return text


def replace_mentions_in_words(
    words: Sequence[str], replacements: Iterable[tuple[int, HostMention, str]]
) -> tuple[str, ...]:
    """Return the words with each mention replaced. Each replacement begins with the index of its word."""
    by_word: dict[int, list[tuple[HostMention, str]]] = {}
    for index, mention, replacement in replacements:
        by_word.setdefault(index, []).append((mention, replacement))
    return tuple(replace_mentions(word, by_word.get(index, ())) for index, word in enumerate(words))


def _find_in_urls(text: str) -> Iterator[HostMention]:
    for match in _URL.finditer(text):
        has_port = match["port"] is not None
        default_ports = (_DEFAULT_PORTS.get(part) for part in match["scheme"].lower().split("+"))
        port = _parse_port(match["port"]) if has_port else next(filter(None, default_ports), None)
        yield HostMention(match.start("name"), match.end(), match["name"], port, has_explicit_port=has_port)
    for match in _URL_WITH_RANGE.finditer(text):
        has_port, name = match["port"] is not None, f"{match['stem']}{match['first']}"
        yield HostMention(
            match.start("stem"),
            match.end(),
            name,
            _parse_port(match["port"]) if has_port else None,
            has_explicit_port=has_port,
            range=match["range"],
        )


def _find_with_ports(key: str, text: str, ports: Mapping[str, Collection[int]]) -> Iterator[HostMention]:
    for match in _NAME_WITH_PORT.finditer(text):
        port = _parse_port(match["port"])
        is_likely = port is not None and port >= _MIN_PORT and not _VERSION_VARIABLE.search(key)
        if is_likely or port in ports.get(match["name"], ()):
            more = _MORE_PORTS.match(text, match.end())
            more_ports = tuple(filter(None, map(_parse_port, more[0].split(":")[1:]))) if more else ()
            yield HostMention(
                match.start("name"), match.end(), match["name"], port, has_explicit_port=True, more_ports=more_ports
            )


def _find_before_ports(text: str, ports: Mapping[str, Collection[int]]) -> Iterator[HostMention]:
    """Yield the hosts in a script that are followed by a port as the next word, as in `nc -z db 5432`."""
    for match in _NAME_BEFORE_PORT.finditer(text):
        port = _parse_port(match["port"])
        if match["name"] in ports and port is not None and port >= _MIN_PORT:
            yield HostMention(*match.span(), match["name"], port, has_explicit_port=True, separator=" ")


def _find_in_lists(key: str, text: str, names: Container[str]) -> Iterator[HostMention]:
    """Yield the hosts in a text that is a list of hosts, if the key is one for hosts."""
    if not _HOST_VARIABLE.search(key) or _NOT_HOST_VARIABLE.search(key):
        return
    parts = list(re.finditer(r"[^,;\s]+", text))
    if all(part[0].partition(":")[0] in names for part in parts):
        port = next((port for ending, port in _VARIABLE_PORTS.items() if key.lower().endswith(ending)), None)
        for part in parts:
            if part[0] in names:
                yield HostMention(*part.span(), part[0], port, is_whole_text=len(parts) == 1)


def _parse_port(text: str) -> int | None:
    number = int(text)
    return number if 1 <= number <= 65535 else None
