{{/* Names and labels. */}}

{{- define "hopper.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Truncated, because the names of objects add suffixes. */}}
{{- define "hopper.fullname" -}}
{{- $name := .Values.nameOverride | default .Chart.Name }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "hopper.operator.name" -}}
{{ include "hopper.fullname" . }}-operator
{{- end }}

{{- define "hopper.gateway.name" -}}
{{ include "hopper.fullname" . }}-gateway
{{- end }}

{{- define "hopper.operator.serviceAccount" -}}
{{- $account := .Values.operator.serviceAccount }}
{{- $account.name | default (ternary (include "hopper.operator.name" .) "default" $account.create) }}
{{- end }}

{{- define "hopper.gateway.serviceAccount" -}}
{{- $account := .Values.gateway.serviceAccount }}
{{- $account.name | default (ternary (include "hopper.gateway.name" .) "default" $account.create) }}
{{- end }}

{{/* Base name of cluster-scoped objects. It has the namespace, because releases may have the same name. */}}
{{- define "hopper.clusterName" -}}
{{ .Release.Namespace }}:{{ include "hopper.fullname" . }}
{{- end }}

{{- define "hopper.image" -}}
{{- $image := .Values.image }}
{{- $repository := list $image.registry $image.repository | compact | join "/" }}
{{- if $image.digest }}
{{- printf "%s@%s" $repository $image.digest }}
{{- else }}
{{- printf "%s:%s" $repository ($image.tag | default .Chart.AppVersion) }}
{{- end }}
{{- end }}

{{/* Selector labels. They must not change, because a Deployment's selector is immutable. Takes root and component. */}}
{{- define "hopper.selector" -}}
app.kubernetes.io/name: {{ include "hopper.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/*
Metadata of an object. Takes root and name, and optionally namespace (not for cluster-scoped objects), component, labels
and annotations.
*/}}
{{- define "hopper.metadata" -}}
{{- $root := .root -}}
{{- $labels := dict
  "app.kubernetes.io/name" (include "hopper.name" $root)
  "app.kubernetes.io/instance" $root.Release.Name
  "app.kubernetes.io/version" $root.Chart.AppVersion
  "app.kubernetes.io/part-of" "hopper"
  "app.kubernetes.io/managed-by" $root.Release.Service
  "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_") -}}
{{- if .component -}}
{{- $_ := set $labels "app.kubernetes.io/component" .component -}}
{{- end -}}
{{- $metadata := dict "name" .name "labels" (merge $labels (.labels | default dict) $root.Values.commonLabels) -}}
{{- with .namespace -}}
{{- $_ := set $metadata "namespace" . -}}
{{- end -}}
{{- with merge (dict) (.annotations | default dict) $root.Values.commonAnnotations -}}
{{- $_ := set $metadata "annotations" . -}}
{{- end -}}
{{- toYaml $metadata -}}
{{- end }}

{{/* Metadata of the pods of a component. It does not depend on the chart version, which would replace the pods. */}}
{{- define "hopper.podMetadata" -}}
{{- $config := .config -}}
{{- $labels := merge (include "hopper.selector" . | fromYaml) $config.podLabels .root.Values.commonLabels -}}
{{- $metadata := dict "labels" $labels -}}
{{- with merge (dict) $config.podAnnotations .root.Values.commonAnnotations -}}
{{- $_ := set $metadata "annotations" . -}}
{{- end -}}
{{- toYaml $metadata -}}
{{- end }}

{{/* Metadata of a CRD. Takes root and name. */}}
{{- define "hopper.crdMetadata" -}}
{{- $annotations := dict -}}
{{- if .root.Values.crds.keep -}}
{{- $_ := set $annotations "helm.sh/resource-policy" "keep" -}}
{{- end -}}
{{- include "hopper.metadata" (merge (dict "annotations" (merge $annotations .root.Values.crds.annotations)) .) -}}
{{- end }}
