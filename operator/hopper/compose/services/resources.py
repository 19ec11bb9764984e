"""`deploy.resources` and the older keys for CPU and memory → resources."""

from decimal import Decimal, InvalidOperation
from typing import Any

from hopper.api.template import ResourceAmounts, Resources
from hopper.compose.reading.syntax import size_in_bytes
from hopper.compose.reading.text import as_text, is_blank
from hopper.compose.section import Section

_UNITS = (("Gi", 1024**3), ("Mi", 1024**2), ("Ki", 1024))
# Docker shares a CPU by this period unless told otherwise, in microseconds.
_PERIOD = 100_000
_MAX_CPUS = 10_000
_MAX_BYTES = 1024**5


def convert_resources(section: Section, deploy: Section | None) -> Resources | None:
    """Return what is guaranteed and what may be used. `deploy` wins over the older keys."""
    resources = deploy.below("resources") if deploy else None
    limits = resources.below("limits") if resources else None
    reservations = resources.below("reservations") if resources else None
    if limits:
        limits.drop("pids", "the number of processes is set for the whole node", "Remove it")
    if reservations:
        devices = "Devices are given out by device plugins: run this outside of Hopper"
        reservations.drop("devices", "devices such as GPUs cannot be asked for", devices)
        reservations.drop("generic_resources", "they belong to Docker Swarm", devices)
    most_cpu = _first(_cpu(limits, "cpus"), _cpu(section, "cpus"), _quota(section))
    most_memory = _first(_memory(limits, "memory"), _memory(section, "mem_limit"))
    least_cpu = _first(_cpu(reservations, "cpus"))
    least_memory = _first(_memory(reservations, "memory"), _memory(section, "mem_reservation"))
    for part in (limits, reservations, resources):
        if part:
            part.close()
    least_cpu = _at_most(least_cpu, most_cpu, "cpus", section)
    least_memory = _at_most(least_memory, most_memory, "memory", section)
    requests, upper = _amounts(least_cpu, least_memory), _amounts(most_cpu, most_memory)
    return Resources(requests=requests, limits=upper) if requests or upper else None


def memory_quantity(amount: int) -> str:
    """Return bytes in the largest unit that divides them, such as 512Mi."""
    for unit, factor in _UNITS:
        if amount and amount % factor == 0:
            return f"{amount // factor}{unit}"
    return str(amount)


def cpu_quantity(amount: Decimal) -> str:
    """Return CPUs as 2 or 500m."""
    milli = max(1, round(amount * 1000))
    return str(milli // 1000) if milli % 1000 == 0 else f"{milli}m"


def _amounts(cpu: Decimal | None, memory: int | None) -> ResourceAmounts | None:
    if cpu is None and memory is None:
        return None
    return ResourceAmounts(
        cpu=None if cpu is None else cpu_quantity(cpu), memory=None if memory is None else memory_quantity(memory)
    )


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _at_most(least: Any, most: Any, what: str, section: Section) -> Any:
    if least is None or most is None or least <= most:
        return least
    section.about.changed(f"deploy.resources.reservations.{what}", "it was more than the limit, and became the limit")
    return most


def _cpu(section: Section | None, key: str) -> Decimal | None:
    raw = section.take(key) if section else None
    if section is None or raw is None or is_blank(raw):
        return None
    number = _decimal(raw)
    if number is None or not 0 <= number <= _MAX_CPUS:
        section.about.problem(section.key(key), "this is no number of CPUs", 'write it as in "0.5"')
        return None
    return number or None


def _quota(section: Section) -> Decimal | None:
    """Return the CPUs of `cpu_quota` per `cpu_period`."""
    raw_quota, raw_period = section.take("cpu_quota"), section.take("cpu_period")
    if raw_quota is None or is_blank(raw_quota):
        if raw_period is not None:
            section.about.dropped("cpu_period", "it means nothing without cpu_quota", "Remove it")
        return None
    quota, period = _decimal(raw_quota), _decimal(raw_period) if raw_period is not None else Decimal(_PERIOD)
    if quota is None or not period or not 0 < quota / period <= _MAX_CPUS:
        section.about.dropped("cpu_quota", "it makes no number of CPUs", 'Write cpus, as in "0.5"')
        return None
    return quota / period


def _memory(section: Section | None, key: str) -> int | None:
    raw = section.take(key) if section else None
    if section is None or raw is None or is_blank(raw):
        return None
    amount = size_in_bytes(raw)
    if amount is None or amount > _MAX_BYTES:
        section.about.problem(section.key(key), "this is no amount of memory", "write it as in 512m")
        return None
    return amount or None


def _decimal(raw: Any) -> Decimal | None:
    text = as_text(raw).strip()
    if len(text) > 32:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
