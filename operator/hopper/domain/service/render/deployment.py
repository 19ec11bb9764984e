"""Rendering of the Deployment: one container, its probes and its security settings."""

from typing import Any

from hopper.api.enums import InstanceType, SecurityProfile
from hopper.api.instance import HopperInstance
from hopper.api.names import ANNOTATION_CHECKSUM, ANNOTATION_RESTARTS, ANNOTATION_REVISION
from hopper.api.resources import Manifest
from hopper.api.service import EnvEntry, Healthcheck, KeyRef
from hopper.api.template import ResourceAmounts, Resources
from hopper.domain.service.blueprint import Blueprint
from hopper.domain.service.environment import sort_by_reference
from hopper.domain.service.quantity import canonical_quantity
from hopper.domain.service.render.mode import Mode
from hopper.domain.service.render.objects import owned_manifest, port_name
from hopper.domain.service.render.volumes import pod_volumes, volume_mounts
from hopper.domain.service.revision import config_checksum, revision

CONTAINER = "service"
_PROGRESS_DEADLINE_SECONDS = 600
_REVISION_HISTORY_LIMIT = 2
_FIRST_UNPRIVILEGED_PORT = 1024


def render_deployment(blueprint: Blueprint, mode: Mode) -> Manifest:
    """Return the Deployment. Its pod template is the same in every mode, only the number of replicas changes."""
    labels = {label.name: label.value for label in blueprint.spec.labels}
    pod_metadata: Manifest = {"labels": labels | blueprint.pod_labels}
    values = {
        ANNOTATION_CHECKSUM: config_checksum(blueprint),
        ANNOTATION_RESTARTS: restart_annotation(blueprint.instance),
    }
    if annotations := {name: value for name, value in values.items() if value is not None}:
        pod_metadata["annotations"] = annotations
    spec = {
        "replicas": 0 if mode is Mode.STOPPED else blueprint.replicas,
        "selector": {"matchLabels": dict(blueprint.names.selector)},
        "strategy": _strategy(blueprint),
        "revisionHistoryLimit": _REVISION_HISTORY_LIMIT,
        "progressDeadlineSeconds": _PROGRESS_DEADLINE_SECONDS + _start_seconds(blueprint.spec.healthcheck),
        "template": {"metadata": pod_metadata, "spec": _pod(blueprint)},
    }
    manifest = owned_manifest(blueprint, "apps/v1", "Deployment", blueprint.names.base, spec=spec)
    manifest["metadata"]["labels"] = labels | manifest["metadata"]["labels"]
    manifest["metadata"]["annotations"] = {ANNOTATION_REVISION: revision(blueprint)}
    return manifest


def restart_annotation(instance: HopperInstance) -> str | None:
    """Return the value of the restart annotation on pods, None before the first restart."""
    return str(instance.status.restarts) if instance.status.restarts else None


def _strategy(blueprint: Blueprint) -> dict[str, Any]:
    """Return the rollout strategy.

    Recreate is used if two pods must not run at the same time: for a Singleton, and for pods with a ReadWriteOnce
    claim, because a new pod on another node could not mount the claim while the old pod runs. The numbers of
    RollingUpdate are the defaults of the API server. They are set so that the operator owns the fields and can remove
    them, because the API server rejects Recreate together with `rollingUpdate`.
    """
    if blueprint.type is InstanceType.SINGLETON or blueprint.claims:
        return {"type": "Recreate"}
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}


def _pod(blueprint: Blueprint) -> dict[str, Any]:
    pod = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": _pod_security(blueprint),
        "containers": [_container(blueprint)],
        "volumes": pod_volumes(blueprint),
    }
    return {key: value for key, value in pod.items() if value not in ([], None)}


def _container(blueprint: Blueprint) -> dict[str, Any]:
    spec = blueprint.spec
    container = {
        "name": CONTAINER,
        "image": spec.image,
        "command": list(spec.command or ()),
        "args": list(spec.args or ()),
        "workingDir": spec.working_dir,
        "ports": [
            {
                "name": port_name(port.container_port, port.protocol),
                "containerPort": port.container_port,
                "protocol": port.protocol.value,
            }
            for port in spec.ports
        ],
        "env": [_env_var(blueprint, entry) for entry in sort_by_reference(spec.env)],
        "resources": _resources(blueprint),
        "securityContext": _container_security(blueprint),
        "volumeMounts": volume_mounts(blueprint),
        **_probes(spec.healthcheck),
    }
    return {key: value for key, value in container.items() if value not in ([], {}, None)}


def _env_var(blueprint: Blueprint, entry: EnvEntry) -> dict[str, Any]:
    if entry.value_from is not None:
        secret, config = entry.value_from.secret_key_ref, entry.value_from.config_map_key_ref
        ref = {"secretKeyRef": _key_ref(secret)} if secret else {"configMapKeyRef": _key_ref(config)} if config else {}
        return {"name": entry.name, "valueFrom": ref}
    if entry.secret:
        own_ref = {"name": blueprint.names.base, "key": entry.name}
        return {"name": entry.name, "valueFrom": {"secretKeyRef": own_ref}}
    # An empty value is left out, as the API server does, so that the rendered and the live entry are equal.
    return {"name": entry.name, "value": entry.value} if entry.value else {"name": entry.name}


def _key_ref(ref: KeyRef) -> dict[str, str]:
    return {"name": ref.name, "key": ref.key}


def _resources(blueprint: Blueprint) -> dict[str, Any]:
    resources = blueprint.spec.resources or Resources()
    defaults = {name: canonical_quantity(quantity) for name, quantity in blueprint.defaulted_limits.items()}
    by_kind = {"requests": _amounts(resources.requests), "limits": _amounts(resources.limits) | defaults}
    return {kind: amounts for kind, amounts in by_kind.items() if amounts}


def _amounts(amounts: ResourceAmounts | None) -> dict[str, str]:
    quantities = {"cpu": amounts.cpu, "memory": amounts.memory} if amounts else {}
    return {name: canonical_quantity(quantity) for name, quantity in quantities.items() if quantity is not None}


def _probes(check: Healthcheck | None) -> dict[str, Any]:
    """Return the probes of the container, all with the test of the healthcheck.

    The readiness probe takes an unhealthy pod out of the Service, and the liveness probe restarts it. A start period
    becomes a startup probe, which delays both probes until its first success. The startup probe fails when the start
    period and all retries are over.
    """
    if check is None or check.test[0] == "NONE":
        return {}
    probes = {
        "readinessProbe": _probe(check, check.interval_seconds, check.retries),
        "livenessProbe": _probe(check, check.interval_seconds, check.retries),
    }
    if check.start_period_seconds:
        period = min(check.interval_seconds, check.start_period_seconds)
        start_periods = -(-check.start_period_seconds // period)
        probes["startupProbe"] = _probe(check, period, start_periods + check.retries)
    return probes


def _probe(check: Healthcheck, period: int, failure_threshold: int) -> dict[str, Any]:
    return {
        "exec": {"command": _probe_command(check.test)},
        "periodSeconds": period,
        "timeoutSeconds": check.timeout_seconds,
        "failureThreshold": failure_threshold,
    }


def _probe_command(test: tuple[str, ...]) -> list[str]:
    kind, *words = test
    return ["sh", "-c", *words] if kind == "CMD-SHELL" else list(words)


def _start_seconds(check: Healthcheck | None) -> int:
    """Return how long a start may take according to the healthcheck, in seconds."""
    return check.start_period_seconds + check.retries * check.interval_seconds if check else 0


def _pod_security(blueprint: Blueprint) -> dict[str, Any]:
    """Return the securityContext of the pod.

    It meets the Pod Security Standard `restricted`, unless the template sets securityProfile Baseline.
    """
    context: dict[str, Any] = {"seccompProfile": {"type": "RuntimeDefault"}}
    if blueprint.spec.security_profile is SecurityProfile.RESTRICTED:
        context["runAsNonRoot"] = True
    if blueprint.spec.user is not None:
        user, _, group = blueprint.spec.user.partition(":")
        context["runAsUser"] = int(user)
        if group:
            context["runAsGroup"] = int(group)
        # New volumes belong to root. With fsGroup, the process can write to them.
        context["fsGroup"] = int(group or user)
        context["fsGroupChangePolicy"] = "OnRootMismatch"
    if any(port.container_port < _FIRST_UNPRIVILEGED_PORT for port in blueprint.spec.ports):
        # `restricted` allows this sysctl. It applies only to the network namespace of the pod.
        context["sysctls"] = [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]
    return context


def _container_security(blueprint: Blueprint) -> dict[str, Any] | None:
    """Return the securityContext of the container, None if that of the pod is enough."""
    if blueprint.spec.security_profile is SecurityProfile.BASELINE:
        return None
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
