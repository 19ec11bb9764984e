"""Numbers out of Prometheus' text format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families


class PrometheusSamples:
    """The samples of one scrape."""

    def __init__(self, text: str, *prefixes: str) -> None:
        """With `prefixes`, only metrics that start so are read."""
        if prefixes:
            wanted = (f"# TYPE {prefix}" for prefix in prefixes)
            starts = (*prefixes, *wanted)
            text = "".join(line for line in text.splitlines(keepends=True) if line.startswith(starts))
        families = text_string_to_metric_families(text)
        self.samples = [(it.name, it.labels, it.value) for family in families for it in family.samples]

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of a metric over all series with these labels."""
        return sum(value for _, value in self._matching(name, labels))

    def by(self, name: str, *keys: str, **labels: str) -> Counter[tuple[str, ...]]:
        """Return the sums of a metric, split by some labels."""
        tally: Counter[tuple[str, ...]] = Counter()
        for found, value in self._matching(name, labels):
            tally[tuple(found[key] for key in keys)] += int(value)
        return tally

    def _matching(self, name: str, labels: Mapping[str, str]) -> list[tuple[Mapping[str, str], float]]:
        return [
            (found, value)
            for metric, found, value in self.samples
            if metric == name and labels.items() <= found.items()
        ]
