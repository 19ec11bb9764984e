"""What the pods may do: Pod Security `restricted`, unless the template says that its image needs more."""

from typing import Any

from hopper.api.enums import SecurityProfile
from hopper.domain.service.blueprint import Blueprint

_FIRST_UNPRIVILEGED_PORT = 1024


def pod_security(blueprint: Blueprint) -> dict[str, Any]:
    """Return the securityContext of the pod."""
    context: dict[str, Any] = {"seccompProfile": {"type": "RuntimeDefault"}}
    if blueprint.spec.security_profile is SecurityProfile.RESTRICTED:
        context["runAsNonRoot"] = True
    if blueprint.spec.user is not None:
        user, _, group = blueprint.spec.user.partition(":")
        context["runAsUser"] = int(user)
        if group:
            context["runAsGroup"] = int(group)
        # New volumes belong to root; with this, the process may write to them.
        context["fsGroup"] = int(group or user)
        context["fsGroupChangePolicy"] = "OnRootMismatch"
    if any(port.container_port < _FIRST_UNPRIVILEGED_PORT for port in blueprint.spec.ports):
        # One of the few sysctls that `restricted` allows. It holds for the pod's own network only.
        context["sysctls"] = [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]
    return context


def container_security(blueprint: Blueprint) -> dict[str, Any] | None:
    """Return the securityContext of the container, None where the pod's says everything."""
    if blueprint.spec.security_profile is SecurityProfile.BASELINE:
        return None
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
