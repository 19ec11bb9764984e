"""Parser for metrics in the Prometheus text format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families


class PrometheusSamples:
    """Samples of one scrape."""

    def __init__(self, text: str, *prefixes: str) -> None:
        """Parse metrics; with `prefixes`, only those whose names start with a prefix, which is much faster."""
        if prefixes:
            type_lines = (f"# TYPE {prefix}" for prefix in prefixes)
            starts = (*prefixes, *type_lines)
            text = "".join(line for line in text.splitlines(keepends=True) if line.startswith(starts))
        families = text_string_to_metric_families(text)
        self.samples = [(sample.name, sample.labels, sample.value) for family in families for sample in family.samples]

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of a metric over all series with these labels."""
        return sum(value for _, value in self._matching(name, labels))

    def totals_by(self, name: str, *keys: str, **labels: str) -> Counter[tuple[str, ...]]:
        """Return the sums of a metric over the series with these labels, grouped by the values of other labels."""
        totals: Counter[tuple[str, ...]] = Counter()
        for sample_labels, value in self._matching(name, labels):
            totals[tuple(sample_labels[key] for key in keys)] += int(value)
        return totals

    def _matching(self, name: str, labels: Mapping[str, str]) -> list[tuple[Mapping[str, str], float]]:
        return [
            (sample_labels, value)
            for metric, sample_labels, value in self.samples
            if metric == name and labels.items() <= sample_labels.items()
        ]
