"""Names that Hopper uses in a cluster: API group, plurals, labels, annotations, finalizers and field managers."""

import re

GROUP = "hopper.dev"
VERSION = "v1"
API_VERSION = f"{GROUP}/{VERSION}"
CATEGORY = "hopper"

INSTANCE_KIND = "HopperInstance"
INSTANCE_PLURAL = "hopperinstances"
INSTANCE_SINGULAR = "hopperinstance"
INSTANCE_SHORT = "hi"

TEMPLATE_KIND = "HopperTemplate"
TEMPLATE_PLURAL = "hoppertemplates"
TEMPLATE_SINGULAR = "hoppertemplate"
TEMPLATE_SHORT = "ht"

# The only name that CEL rules allow for a Global instance, so that a namespace has at most one.
GLOBAL_NAME = "global"

FIELD_MANAGER = "hopper-operator"
EVENT_SOURCE = "hopper-operator"
# A separate field manager, so that writes through the REST API differ from those of GitOps tools and kubectl.
GATEWAY_MANAGER = "hopper-gateway"
# The Lease for leader election among the replicas of the operator.
LEASE_NAME = "hopper-operator"
FINALIZER = f"{GROUP}/ordered-deletion"
# Set by the API server for `kubectl delete --cascade=orphan`, until garbage collection has removed ownerReferences.
ORPHAN_FINALIZER = "orphan"
# Set by the API server for `--cascade=foreground`, until garbage collection has deleted the dependents.
FOREGROUND_FINALIZER = "foregroundDeletion"

LABEL_INSTANCE = f"{GROUP}/instance"
# On the ConfigMaps of heartbeat shards (see api/heartbeat.py).
LABEL_HEARTBEATS = f"{GROUP}/heartbeats"

# On the Secrets into which the gateway moves secret values. Instances and templates refer to them.
LABEL_SECRET_VALUES = f"{GROUP}/secret-values"

# On the Secrets with API keys of the gateway (see gateway/auth/api_keys.py).
LABEL_API_KEYS = f"{GROUP}/api-keys"

# On all owned objects. The operator selects them by it.
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGED_BY = "hopper"
# Never set on pods, so that a Service that selects by it has no endpoints.
LABEL_PAUSED = f"{GROUP}/paused"
# On the Deployment: a digest of everything that its pods are made from.
ANNOTATION_REVISION = f"{GROUP}/revision"
# On the pods: the number of restarts of the instance. A new value replaces the pods.
ANNOTATION_RESTARTS = f"{GROUP}/restarts"
# On the pods: a digest of their configuration. A new value replaces the pods.
ANNOTATION_CHECKSUM = f"{GROUP}/checksum"

# On instances, used by the gateway only: the creator, and a free-form JSON object about the current run.
ANNOTATION_CREATED_BY = f"{GROUP}/created-by"
ANNOTATION_RUNTIME_METADATA = f"{GROUP}/runtime-metadata"
# On an instance that the gateway renames: the new name and the time, so that one of several concurrent renames wins.
ANNOTATION_RENAMING_TO = f"{GROUP}/renaming-to"

# Owned objects are named `{prefix}-{project}-{instance}`.
DEFAULT_PREFIX = "hopper"
LABEL_APP_NAME = "app.kubernetes.io/name"
LABEL_APP_INSTANCE = "app.kubernetes.io/instance"
LABEL_APP_COMPONENT = "app.kubernetes.io/component"
LABEL_APP_PART_OF = "app.kubernetes.io/part-of"
OWN_LABELS = frozenset({LABEL_APP_NAME, LABEL_APP_INSTANCE, LABEL_APP_COMPONENT, LABEL_APP_PART_OF, LABEL_MANAGED_BY})

# Objects of the operator and the gateway: heartbeat shards, Secrets with API keys, Deployments and the Lease. The names
# of owned objects must differ from them, because an instance could otherwise occupy such a name.
_RESERVED_OBJECT_NAME = re.compile(r"hopper-(heartbeats-[0-9]+|api-key-.*|operator|gateway)")

# Prefixes of environment variables that Hopper and the kubelet set.
RESERVED_ENV = ("HOPPER_", "KUBERNETES_")


def is_reserved_object_name(name: str) -> bool:
    """Whether Hopper has, or may have, an object of its own with this name."""
    return _RESERVED_OBJECT_NAME.fullmatch(name) is not None
