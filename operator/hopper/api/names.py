"""Every name that Hopper writes into a cluster: groups, plurals, labels, finalizers, field managers."""

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

# The API server itself keeps Global instances single: only this name is admitted for them.
GLOBAL_NAME = "global"

FIELD_MANAGER = "hopper-operator"
EVENT_SOURCE = "hopper-operator"
# What users want through the REST API is told by it from what GitOps tools or kubectl have written.
GATEWAY_MANAGER = "hopper-gateway"
# The Lease that replicas of the operator elect their leader by.
LEASE_NAME = "hopper-operator"
FINALIZER = f"{GROUP}/ordered-deletion"
# Set by the API server on `kubectl delete --cascade=orphan` while garbage collection strips ownerReferences.
ORPHAN_FINALIZER = "orphan"
# The same for `--cascade=foreground`, while it deletes what is below.
FOREGROUND_FINALIZER = "foregroundDeletion"

LABEL_INSTANCE = f"{GROUP}/instance"
# On the ConfigMaps that heartbeats are kept in (see api/heartbeat.py).
LABEL_HEARTBEATS = f"{GROUP}/heartbeats"

# On the Secrets that the gateway's API keys are kept in (see gateway/auth/keys.py).
LABEL_API_KEYS = f"{GROUP}/api-keys"

# Everything that instances own carries this, and is watched by it.
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGED_BY = "hopper"
# On the pods of nobody: a Service that selects by it has no endpoints.
LABEL_PAUSED = f"{GROUP}/paused"
# On the Deployment: which template and overrides it was rendered from.
ANNOTATION_REVISION = f"{GROUP}/revision"
# On the pods: how often the instance was restarted. A new value makes new pods, which get a fresh chance.
ANNOTATION_RESTARTS = f"{GROUP}/restarts"
# On the pods: which configuration they have read. A new value restarts them.
ANNOTATION_CHECKSUM = f"{GROUP}/checksum"

# On instances, written and shown by the gateway only: who created one, and a free-form JSON object about its run.
ANNOTATION_CREATED_BY = f"{GROUP}/created-by"
ANNOTATION_RUNTIME_METADATA = f"{GROUP}/runtime-metadata"
# On an instance: what the gateway is renaming it to, and since when. So of several renames one wins.
ANNOTATION_RENAMING_TO = f"{GROUP}/renaming-to"

# Rendered objects are called `{prefix}-{project}-{instance}`.
DEFAULT_PREFIX = "hopper"
LABEL_APP_NAME = "app.kubernetes.io/name"
LABEL_APP_INSTANCE = "app.kubernetes.io/instance"
LABEL_APP_COMPONENT = "app.kubernetes.io/component"
LABEL_APP_PART_OF = "app.kubernetes.io/part-of"
OWN_LABELS = frozenset({LABEL_APP_NAME, LABEL_APP_INSTANCE, LABEL_APP_COMPONENT, LABEL_APP_PART_OF, LABEL_MANAGED_BY})

# Variables with these beginnings are set by Hopper and by the kubelet.
RESERVED_ENV = ("HOPPER_", "KUBERNETES_")
