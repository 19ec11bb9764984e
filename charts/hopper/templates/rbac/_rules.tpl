{{/*
The permissions of the operator and the gateway. tests/cluster/test_rights.py compares them with the requests that the
API server receives, so that there are no unused ones. Server-side apply of a new object needs both create and patch.
*/}}
{{- define "hopper.operator.rules" -}}
- apiGroups: [hopper.dev]
  resources: [hopperinstances]
  verbs: [list, watch, patch, delete]
- apiGroups: [hopper.dev]
  resources: [hopperinstances/status, hoppertemplates/status]
  verbs: [patch]
# Needed for blockOwnerDeletion if the admission plugin OwnerReferencesPermissionEnforcement is enabled, as on OpenShift.
- apiGroups: [hopper.dev]
  resources: [hopperinstances/finalizers]
  verbs: [update]
- apiGroups: [hopper.dev]
  resources: [hoppertemplates]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [configmaps, persistentvolumeclaims, secrets, services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end }}

{{/* Permissions for the Lease, in the namespace of the release. RBAC cannot restrict create by resource name. */}}
{{- define "hopper.operator.leaseRules" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [hopper-operator]
  verbs: [get, patch]
{{- end }}

{{/* Permissions for the requests of all callers. The gateway checks the permissions of each caller itself. */}}
{{- define "hopper.gateway.rules" -}}
- apiGroups: [hopper.dev]
  resources: [hopperinstances, hoppertemplates]
  verbs: [get, list, watch, create, patch, delete]
# Heartbeat shards.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [list, watch, create]
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: [hopper-heartbeats-0, hopper-heartbeats-1, hopper-heartbeats-2, hopper-heartbeats-3]
  verbs: [patch]
# Secret values of callers. The gateway reads them only to copy an instance, with a patch that changes nothing, because
# the admission policy for its account limits patches to the Secrets of Hopper, and cannot limit reads.
- apiGroups: [""]
  resources: [secrets]
  verbs: [create, patch]
{{- if eq .Values.gateway.auth "apikey" }}
- apiGroups: [""]
  resources: [secrets]
  verbs: [list, watch]
{{- end }}
{{- end }}

{{/* Permissions to authenticate and authorize callers. These reviews are cluster-scoped. */}}
{{- define "hopper.gateway.clusterRules" -}}
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
- apiGroups: [authorization.k8s.io]
  resources: [subjectaccessreviews]
  verbs: [create]
{{- end }}

{{/* Role and its binding. Takes root, component, name, rules, serviceAccount, and namespace (not for a ClusterRole). */}}
{{- define "hopper.grant" -}}
{{- $kind := ternary "Role" "ClusterRole" (hasKey . "namespace") -}}
{{- $metadata := include "hopper.metadata" . -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}
metadata:
  {{- $metadata | nindent 2 }}
rules:
  {{- .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}Binding
metadata:
  {{- $metadata | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $kind }}
  name: {{ .name }}
subjects:
  - kind: ServiceAccount
    name: {{ .serviceAccount }}
    namespace: {{ .root.Release.Namespace }}
{{- end }}
