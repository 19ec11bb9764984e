"""Kinds that Hopper reads and writes, with their API paths, and aliases for objects and their keys."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from hopper.api.names import GROUP, INSTANCE_KIND, INSTANCE_PLURAL, TEMPLATE_KIND, TEMPLATE_PLURAL, VERSION

# An object in the form in which the API server sends and accepts it.
Manifest = dict[str, Any]
# The namespace and name of an object whose kind is known from the context.
NamespacedName = tuple[str, str]
# The kind and name of an object whose namespace is known from the context.
ObjectKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Resource:
    """Namespaced kind of the Kubernetes API."""

    kind: str
    group: str
    version: str
    plural: str

    def path(self, namespace: str | None, name: str | None = None) -> str:
        """Return the URL path of an object, of all objects in a namespace, or of all objects."""
        prefix = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        # Quoted, because a slash in a name must not change the path.
        scope = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
        return f"{prefix}{scope}/{self.plural}" + (f"/{quote(name, safe='')}" if name else "")


INSTANCES = Resource(INSTANCE_KIND, GROUP, VERSION, INSTANCE_PLURAL)
TEMPLATES = Resource(TEMPLATE_KIND, GROUP, VERSION, TEMPLATE_PLURAL)
PODS = Resource("Pod", "", "v1", "pods")
DEPLOYMENTS = Resource("Deployment", "apps", "v1", "deployments")
SECRETS = Resource("Secret", "", "v1", "secrets")

# The kinds of owned objects, which the operator applies and watches.
OWNED_RESOURCES: dict[str, Resource] = {
    resource.kind: resource
    for resource in (
        Resource("PersistentVolumeClaim", "", "v1", "persistentvolumeclaims"),
        Resource("ConfigMap", "", "v1", "configmaps"),
        SECRETS,
        Resource("Service", "", "v1", "services"),
        DEPLOYMENTS,
        Resource("Ingress", "networking.k8s.io", "v1", "ingresses"),
    )
}
