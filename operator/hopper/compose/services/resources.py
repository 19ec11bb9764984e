"""Conversion of `deploy.resources`, and of the older keys for CPU and memory, into resources."""

from decimal import Decimal, InvalidOperation
from typing import Any

from hopper.api.template import ResourceAmounts, Resources
from hopper.compose.reading.short_syntax import parse_size
from hopper.compose.reading.tracked_text import as_text, is_blank
from hopper.compose.section import Section

_UNITS = (("Gi", 1024**3), ("Mi", 1024**2), ("Ki", 1024))
# Docker's default for cpu_period, in microseconds.
_CPU_PERIOD = 100_000
_MAX_CPUS = 10_000
_MAX_BYTES = 1024**5
_MAX_DIGITS = 32


def convert_resources(section: Section, deploy: Section | None) -> Resources | None:
    """Return requests and limits; `deploy` takes precedence over the older keys."""
    resources = deploy.below("resources") if deploy else None
    limits = resources.below("limits") if resources else None
    reservations = resources.below("reservations") if resources else None
    if limits:
        limits.drop("pids", "the number of processes is limited by the node", "Remove it")
    if reservations:
        advice = "Run the service outside Hopper, with a device plugin"
        reservations.drop("devices", "Hopper cannot request devices such as GPUs", advice)
        reservations.drop("generic_resources", "generic resources are a feature of Docker Swarm", advice)
    cpu_limit = _first_set(_take_cpus(limits, "cpus"), _take_cpus(section, "cpus"), _take_cpu_quota(section))
    memory_limit = _first_set(_take_memory(limits, "memory"), _take_memory(section, "mem_limit"))
    cpu_request = _take_cpus(reservations, "cpus")
    memory_request = _first_set(_take_memory(reservations, "memory"), _take_memory(section, "mem_reservation"))
    for part in (limits, reservations, resources):
        if part:
            part.close()
    cpu_request = _at_most(cpu_request, cpu_limit, "cpus", section)
    memory_request = _at_most(memory_request, memory_limit, "memory", section)
    requests, upper = _build_amounts(cpu_request, memory_request), _build_amounts(cpu_limit, memory_limit)
    return Resources(requests=requests, limits=upper) if requests or upper else None


def memory_quantity(amount: int) -> str:
    """Return a number of bytes as a quantity in the largest unit that divides it, such as 512Mi."""
    for unit, factor in _UNITS:
        if amount and amount % factor == 0:
            return f"{amount // factor}{unit}"
    return str(amount)


def cpu_quantity(amount: Decimal) -> str:
    """Return a number of CPUs as a quantity such as 2 or 500m."""
    milli = max(1, round(amount * 1000))
    return str(milli // 1000) if milli % 1000 == 0 else f"{milli}m"


def _build_amounts(cpu: Decimal | None, memory: int | None) -> ResourceAmounts | None:
    if cpu is None and memory is None:
        return None
    return ResourceAmounts(
        cpu=None if cpu is None else cpu_quantity(cpu), memory=None if memory is None else memory_quantity(memory)
    )


def _first_set(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _at_most(request: Any, limit: Any, name: str, section: Section) -> Any:
    if request is None or limit is None or request <= limit:
        return request
    message = "the reservation exceeded the limit, and was lowered to it"
    section.reporter.changed(f"deploy.resources.reservations.{name}", message)
    return limit


def _take_cpus(section: Section | None, key: str) -> Decimal | None:
    raw = section.take(key) if section else None
    if section is None or raw is None or is_blank(raw):
        return None
    number = _parse_decimal(raw)
    if number is None or not 0 <= number <= _MAX_CPUS:
        section.reporter.problem(section.key(key), "the value is not a number of CPUs", 'write it as in "0.5"')
        return None
    return number or None


def _take_cpu_quota(section: Section) -> Decimal | None:
    """Return the number of CPUs that `cpu_quota` and `cpu_period` allow."""
    raw_quota, raw_period = section.take("cpu_quota"), section.take("cpu_period")
    if raw_quota is None or is_blank(raw_quota):
        if raw_period is not None:
            section.reporter.dropped("cpu_period", "the key has no effect without cpu_quota", "Remove it")
        return None
    quota = _parse_decimal(raw_quota)
    period = _parse_decimal(raw_period) if raw_period is not None else Decimal(_CPU_PERIOD)
    if quota is None or not period or not 0 < quota / period <= _MAX_CPUS:
        message = "the quota does not correspond to a number of CPUs"
        section.reporter.dropped("cpu_quota", message, 'Set cpus instead, as in "0.5"')
        return None
    return quota / period


def _take_memory(section: Section | None, key: str) -> int | None:
    raw = section.take(key) if section else None
    if section is None or raw is None or is_blank(raw):
        return None
    amount = parse_size(raw)
    if amount is None or amount > _MAX_BYTES:
        section.reporter.problem(section.key(key), "the value is not an amount of memory", "write it as in 512m")
        return None
    return amount or None


def _parse_decimal(raw: Any) -> Decimal | None:
    text = as_text(raw).strip()
    if len(text) > _MAX_DIGITS:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
