"""Finds in texts the names of hosts, where there is no doubt that they are that."""

import re
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

_HOST_VARIABLE = re.compile(r"host|addr|server|url|uri|endpoint|broker|upstream|proxy|seed", re.IGNORECASE)
_NO_HOST = re.compile(r"(?<!host)(?<!host[_.-])name$", re.IGNORECASE)
_VERSIONED = re.compile(r"image|tag|version", re.IGNORECASE)
_URL = re.compile(
    r"(?P<scheme>[A-Za-z][\w+.]{0,31})://(?:[^@/\s'\"]*@)?(?P<name>[\w.-]*\w)(?::(?P<port>\d{1,5}))?(?![\w@:-]|\.\w)"
)
# As MinIO has them: `http://minio{1...4}:9000/data`.
_URL_OF_SEVERAL = re.compile(
    r"https?://(?P<stem>[\w.-]*)(?P<numbers>\{(?P<first>\d{1,3})\.\.\.\d{1,3}\})(?::(?P<port>\d{1,5}))?"
)
_WITH_PORT = re.compile(r"(?<![\w.$-])(?<!(?<!/)/)(?P<name>[\w.-]*\w):(?P<port>\d{2,5})(?![\w@-]|\.\d)")
# As ZooKeeper has them: `zoo1:2888:3888`.
_MORE_PORTS = re.compile(r"(:\d{2,5})+(?![\w.-])")
_BEFORE_PORT = re.compile(r"(?<=\s)(?P<name>[\w.-]*\w) +(?P<port>\d{2,5})(?=[\s;&|)]|$)")
# What nginx calls a group of servers: `proxy_pass http://NAME` means that group then, and no host.
_UPSTREAM = re.compile(r"(?m)^\s{0,64}upstream\s{1,64}([\w.-]+)\s{0,64}\{")
_HOST_OPTION = r"(?:-h|--?[\w-]*(?:host|server|addr|address))"
# A node of ZooKeeper listens where the list of all nodes has it.
_LISTENS = re.compile(r"listen|bind|zoo(keeper)?_servers", re.IGNORECASE)
_ADVERTISED = re.compile(r"advertis|public|external", re.IGNORECASE)
# Smaller numbers behind a name are rather versions, as in `postgres:17`, unless that is a port of the service.
_LEAST_PORT = 80
_DEFAULT_PORTS = {
    **dict.fromkeys(("http", "ws"), 80),
    **dict.fromkeys(("https", "wss"), 443),
    **dict.fromkeys(("postgres", "postgresql"), 5432),
    **dict.fromkeys(("mysql", "mysql2", "mariadb"), 3306),
    "redis": 6379,
    "amqp": 5672,
    "mongodb": 27017,
}
# Of variables that list hosts without a port: the nodes of Elasticsearch find each other so.
_PORTS_OF_VARIABLES = {"discovery.seed_hosts": 9300, "discovery.zen.ping.unicast.hosts": 9300}


@dataclass(frozen=True, slots=True)
class Mention:
    """Where a text names a host. `port` is the one that it is reached at, None where the text does not tell.

    `end` is the end of the name, and of the port if that `is_written`, behind a `separator`. `alone` says that the text
    is the name. `also` are further ports, written behind the first one. `numbers` stands in the place of the number at
    the end of the name where the text means several hosts, as in `minio{1...4}`.
    """

    start: int
    end: int
    name: str
    port: int | None = None
    is_written: bool = False
    alone: bool = False
    separator: str = ":"
    also: tuple[int, ...] = ()
    numbers: str = ""

    @property
    def ports(self) -> tuple[int, ...]:
        """All ports that the host is reached at, as far as the text tells."""
        return self.also if self.port is None else (self.port, *self.also)

    def at(self, host: str, port: int | None) -> str:
        """Return what this becomes for another host and port, None for the port that programs take by themselves."""
        host = re.sub(r"\d+$", "", host) + self.numbers if self.numbers else host
        return host if port is None else f"{host}{self.separator}{port}"


def says_where_to_listen(text: str) -> bool:
    """Tell whether a variable, or an option, says where a process listens, as opposed to where it is reached."""
    return bool(_LISTENS.search(text)) and not _ADVERTISED.search(text)


def find_mentions(key: str, text: str, ports: Mapping[str, Collection[int]]) -> list[Mention]:
    """Return where a text, known by a key, names hosts. `ports` has the hosts' names, and the ports they have."""
    found: dict[int, Mention] = {}
    upstreams = set(_UPSTREAM.findall(text))
    for mention in (*_in_urls(text), *_with_ports(key, text, ports), *_alone(key, text, ports)):
        if mention.name in ports and (mention.is_written or mention.name not in upstreams):
            found.setdefault(mention.start, mention)
    return [mention for _, mention in sorted(found.items())]


def find_in_command(words: Sequence[str], ports: Mapping[str, Collection[int]]) -> Iterator[tuple[int, Mention]]:
    """Yield the same for the words of a command line, each with the number of its word."""
    option = ""
    for number, word in enumerate(words):
        mentions = find_mentions(option, word, ports)
        if word in ports and re.fullmatch(_HOST_OPTION, option):
            mentions.append(Mention(0, len(word), word))
        elif inside := re.search(rf"(?:^|\s){_HOST_OPTION}[ =](?P<name>[\w.-]+)(?![\w.:-])", word):
            mentions += [Mention(*inside.span("name"), inside["name"])] if inside["name"] in ports else []
        mentions += _before_ports(word, ports)
        yield from ((number, mention) for mention in {mention.start: mention for mention in mentions}.values())
        option = word if word.startswith("-") else ""


def replaced(text: str, found: Iterable[tuple[Mention, str]]) -> str:
    """Return the text with something else in the place of each mention."""
    for mention, other in sorted(found, key=lambda one: one[0].start, reverse=True):
        text = text[: mention.start] + other + text[mention.end :]
    return text


def replaced_words(words: Sequence[str], found: Iterable[tuple[int, Mention, str]]) -> tuple[str, ...]:
    """Return the words with something else in the place of each mention, which is given with its word's number."""
    by_word: dict[int, list[tuple[Mention, str]]] = {}
    for number, mention, other in found:
        by_word.setdefault(number, []).append((mention, other))
    return tuple(replaced(word, by_word.get(number, ())) for number, word in enumerate(words))


def _in_urls(text: str) -> Iterator[Mention]:
    for match in _URL.finditer(text):
        written = match["port"] is not None
        usual = (_DEFAULT_PORTS.get(part) for part in match["scheme"].lower().split("+"))
        port = _port(match["port"]) if written else next(filter(None, usual), None)
        yield Mention(match.start("name"), match.end(), match["name"], port, is_written=written)
    for match in _URL_OF_SEVERAL.finditer(text):
        written, name = match["port"] is not None, f"{match['stem']}{match['first']}"
        port = _port(match["port"]) if written else None
        yield Mention(match.start("stem"), match.end(), name, port, is_written=written, numbers=match["numbers"])


def _with_ports(key: str, text: str, ports: Mapping[str, Collection[int]]) -> Iterator[Mention]:
    for match in _WITH_PORT.finditer(text):
        port = _port(match["port"])
        likely = port is not None and port >= _LEAST_PORT and not _VERSIONED.search(key)
        if likely or port in ports.get(match["name"], ()):
            more = _MORE_PORTS.match(text, match.end())
            also = tuple(filter(None, map(_port, more[0].split(":")[1:]))) if more else ()
            yield Mention(match.start("name"), match.end(), match["name"], port, is_written=True, also=also)


def _before_ports(text: str, ports: Mapping[str, Collection[int]]) -> Iterator[Mention]:
    """Yield the hosts of a script with ports as a word of their own, as in `nc -z db 5432`."""
    for match in _BEFORE_PORT.finditer(text):
        port = _port(match["port"])
        if match["name"] in ports and port is not None and port >= _LEAST_PORT:
            yield Mention(*match.span(), match["name"], port, is_written=True, separator=" ")


def _alone(key: str, text: str, names: Container[str]) -> Iterator[Mention]:
    """Yield the hosts of which the whole text consists, where the key says that it is about hosts."""
    if not _HOST_VARIABLE.search(key) or _NO_HOST.search(key):
        return
    parts = list(re.finditer(r"[^,;\s]+", text))
    if all(part[0].partition(":")[0] in names for part in parts):
        port = next((port for end, port in _PORTS_OF_VARIABLES.items() if key.lower().endswith(end)), None)
        for part in parts:
            if part[0] in names:
                yield Mention(*part.span(), part[0], port, alone=len(parts) == 1)


def _port(text: str) -> int | None:
    number = int(text)
    return number if 1 <= number <= 65535 else None
