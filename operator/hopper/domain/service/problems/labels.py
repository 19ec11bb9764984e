"""What is wrong with labels: no labels by Kubernetes' rules, or labels that others decide by."""

import re
from collections.abc import Iterator

from hopper.api.names import GROUP, OWN_LABELS
from hopper.domain.service.merge import EffectiveService
from hopper.domain.service.problem import ServiceProblem

_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_PREFIX = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*")
_MAX_PREFIX = 253
# Prefixes by which Kubernetes and Hopper decide. Of the convention for applications, what Hopper does not set is free.
_RESERVED = (GROUP, "kubernetes.io", "k8s.io")
_CONVENTION = "app.kubernetes.io"
# Set by the controllers of Deployments and their kind, to know their own pods.
_CONTROLLERS = frozenset({"pod-template-hash", "controller-revision-hash", "pod-template-generation"})


def label_problems(effective: EffectiveService) -> Iterator[ServiceProblem]:
    for label in effective.spec.labels:
        path = f"labels[{label.name}]"
        if wrong := _wrong_name(label.name) or _reserved(label.name):
            yield ServiceProblem(f"{path}.name", wrong, effective.origin(path))


def _wrong_name(name: str) -> str | None:
    prefix, slash, rest = name.rpartition("/")
    if _NAME.fullmatch(rest) and (not slash or (_PREFIX.fullmatch(prefix) and len(prefix) <= _MAX_PREFIX)):
        return None
    return "is not a label name: use up to 63 letters, digits, -, _ and ., with or without a prefix and /"


def _reserved(name: str) -> str | None:
    prefix = name.rpartition("/")[0]
    if name in OWN_LABELS or name in _CONTROLLERS:
        return "is set by the operator or the cluster, which finds pods by it: use another name"
    if prefix == _CONVENTION:
        return None
    owner = next((domain for domain in _RESERVED if prefix == domain or prefix.endswith(f".{domain}")), None)
    return f"lies below {owner}/, which is not yours to set: use another name" if owner else None
