{{/*
Deployment of a component. Takes root, component, config (the values of the component), name, serviceAccount, args (a
list), strategy, and port (the container port `http`).
*/}}
{{- define "hopper.deployment" -}}
{{- $root := .root }}
{{- $config := .config }}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "hopper.metadata" (dict "root" $root "component" .component "name" .name "namespace" $root.Release.Namespace "labels" $config.labels "annotations" $config.annotations) | nindent 2 }}
spec:
  replicas: {{ $config.replicas }}
  revisionHistoryLimit: {{ $config.revisionHistoryLimit }}
  {{- with $config.strategy | default .strategy }}
  strategy:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  selector:
    matchLabels:
      {{- include "hopper.selector" . | nindent 6 }}
  template:
    metadata:
      {{- include "hopper.podMetadata" . | nindent 6 }}
    spec:
      {{- with $root.Values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      serviceAccountName: {{ .serviceAccount }}
      automountServiceAccountToken: true
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ $config.terminationGracePeriodSeconds }}
      {{- with $config.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      securityContext:
        {{- toYaml $config.podSecurityContext | nindent 8 }}
      containers:
        - name: {{ .component }}
          image: {{ include "hopper.image" $root | quote }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          command: [hopper]
          args:
            {{- concat .args $config.extraArgs | toYaml | nindent 12 }}
          env:
            {{- include "hopper.env" (dict "extra" $config.env) | nindent 12 }}
          {{- with $config.envFrom }}
          envFrom:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          ports:
            - name: http
              containerPort: {{ .port }}
              protocol: TCP
          {{- include "hopper.probes" (dict "config" $config "scheme" (include "hopper.scheme" $config)) | nindent 10 }}
          {{- with $config.lifecycle }}
          lifecycle:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          resources:
            {{- toYaml $config.resources | nindent 12 }}
          securityContext:
            {{- toYaml $config.securityContext | nindent 12 }}
          volumeMounts:
            - name: tmp
              mountPath: /tmp
            {{- if include "hopper.tlsSecret" . }}
            - name: tls
              mountPath: /etc/hopper/tls
              readOnly: true
            {{- end }}
            {{- with $config.volumeMounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
      volumes:
        - name: tmp
          emptyDir:
            sizeLimit: 64Mi
        {{- with include "hopper.tlsSecret" . }}
        - name: tls
          secret:
            secretName: {{ . }}
            defaultMode: 0444
        {{- end }}
        {{- with $config.volumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with $config.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $config.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $config.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $config.topologySpreadConstraints }}
      topologySpreadConstraints:
        {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end }}

{{/* USER and HOME are set, because an arbitrary user ID has no entry in /etc/passwd. Takes extra. */}}
{{- define "hopper.env" -}}
- name: USER
  value: hopper
- name: HOME
  value: /tmp
{{- with .extra }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Name of the Secret with the certificate of a component, empty without TLS. Takes config, name. */}}
{{- define "hopper.tlsSecret" -}}
{{- with .config.tls }}
{{- .secretName | default (ternary (printf "%s-tls" $.name) "" .certificate.enabled) }}
{{- end }}
{{- end }}

{{/* `https` for a component with TLS, and otherwise `http`. Takes the values of the component. */}}
{{- define "hopper.scheme" -}}
{{- ternary "https" "http" (ne "" (include "hopper.tlsSecret" (dict "config" . "name" "x"))) }}
{{- end }}

{{/* Port of the Service of a component. With TLS, 443 takes the place of 80. Takes the values of the component. */}}
{{- define "hopper.servicePort" -}}
{{- ternary 443 .service.port (and (eq "https" (include "hopper.scheme" .)) (eq 80 (int .service.port))) }}
{{- end }}

{{/* Probes of a component. Takes config, scheme. */}}
{{- define "hopper.probes" -}}
{{- $http := dict "port" "http" -}}
{{- if eq .scheme "https" }}
{{- $http = dict "port" "http" "scheme" "HTTPS" -}}
{{- end }}
{{- $alive := dict "httpGet" (merge (dict "path" "/healthz") $http) -}}
{{- $ready := dict "httpGet" (merge (dict "path" "/readyz") $http) -}}
{{- with .config -}}
startupProbe:
  {{- toYaml (merge (dict) .startupProbe (dict "periodSeconds" 1 "failureThreshold" 60) $alive) | nindent 2 }}
livenessProbe:
  {{- toYaml (merge (dict) .livenessProbe (dict "periodSeconds" 10 "timeoutSeconds" 5 "failureThreshold" 6) $alive) | nindent 2 }}
readinessProbe:
  {{- toYaml (merge (dict) .readinessProbe (dict "periodSeconds" 5 "timeoutSeconds" 3 "failureThreshold" 3) $ready) | nindent 2 }}
{{- end }}
{{- end }}

{{/* Service of a component. Takes root, component, config, name. */}}
{{- define "hopper.service" -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "hopper.metadata" (dict "root" .root "component" .component "name" .name "namespace" .root.Release.Namespace "annotations" .config.service.annotations) | nindent 2 }}
spec:
  type: {{ .config.service.type }}
  ports:
    - name: http
      port: {{ include "hopper.servicePort" .config }}
      targetPort: http
      protocol: TCP
  selector:
    {{- include "hopper.selector" . | nindent 4 }}
{{- end }}

{{/* PodDisruptionBudget of a component. Takes root, component, config, name. */}}
{{- define "hopper.podDisruptionBudget" -}}
{{- $budget := .config.podDisruptionBudget }}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "hopper.metadata" (dict "root" .root "component" .component "name" .name "namespace" .root.Release.Namespace) | nindent 2 }}
spec:
  {{- if ne (toString $budget.minAvailable) "" }}
  minAvailable: {{ $budget.minAvailable }}
  {{- else }}
  maxUnavailable: {{ $budget.maxUnavailable }}
  {{- end }}
  selector:
    matchLabels:
      {{- include "hopper.selector" . | nindent 6 }}
{{- end }}

{{/* ServiceAccount of a component. Takes root, component, config, name, serviceAccount. */}}
{{- define "hopper.serviceAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "hopper.metadata" (dict "root" .root "component" .component "name" .serviceAccount "namespace" .root.Release.Namespace "annotations" .config.serviceAccount.annotations) | nindent 2 }}
automountServiceAccountToken: false
{{- end }}

{{/* NetworkPolicy of a component. Takes root, component, name, from (peers). */}}
{{- define "hopper.networkPolicy" -}}
{{- $policy := .root.Values.networkPolicy }}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "hopper.metadata" (dict "root" .root "component" .component "name" .name "namespace" .root.Release.Namespace) | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "hopper.selector" . | nindent 6 }}
  policyTypes:
    - Ingress
    {{- if $policy.egress }}
    - Egress
    {{- end }}
  ingress:
    - ports:
        - port: http
          protocol: TCP
      {{- with .from }}
      from:
        {{- toYaml . | nindent 8 }}
        {{- if $.root.Values.tests.enabled }}
        - podSelector:
            matchLabels:
              {{- include "hopper.selector" (dict "root" $.root "component" "test") | nindent 14 }}
        {{- end }}
      {{- end }}
  {{- with $policy.egress }}
  egress:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* ServiceMonitor of a component. Takes root, component, name. */}}
{{- define "hopper.serviceMonitor" -}}
{{- $monitor := .root.Values.serviceMonitor }}
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata:
  {{- include "hopper.metadata" (dict "root" .root "component" .component "name" .name "namespace" ($monitor.namespace | default .root.Release.Namespace) "labels" $monitor.labels "annotations" $monitor.annotations) | nindent 2 }}
spec:
  selector:
    matchLabels:
      {{- include "hopper.selector" . | nindent 6 }}
  namespaceSelector:
    matchNames: [{{ .root.Release.Namespace }}]
  endpoints:
    - port: http
      {{- if eq "https" (include "hopper.scheme" .config) }}
      scheme: https
      tlsConfig:
        ca:
          secret:
            name: {{ include "hopper.tlsSecret" . }}
            key: ca.crt
            optional: true
        serverName: {{ printf "%s.%s.svc" .name .root.Release.Namespace }}
      {{- end }}
      path: /metrics
      interval: {{ $monitor.interval }}
      scrapeTimeout: {{ $monitor.scrapeTimeout }}
      {{- with $monitor.relabelings }}
      relabelings:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $monitor.metricRelabelings }}
      metricRelabelings:
        {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end }}
