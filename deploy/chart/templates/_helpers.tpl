{{- /* Parts that several templates share. Like all of them but the dashboard and the
notes they use only what text/template has, and toYaml and nindent, so that they can
be rendered without Helm. */ -}}

{{- define "openirsa.namespace" -}}
{{ or .Values.namespaceOverride .Release.Namespace }}
{{- end -}}

{{- /* Of all objects; those of podLabels are below. */ -}}
{{- define "openirsa.labels" }}
    app.kubernetes.io/part-of: openirsa
    app.kubernetes.io/managed-by: {{ .Release.Service }}
    {{- with .Values.commonLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{- /* An image as a string is how it was given before it had parts. */ -}}
{{- define "openirsa.image" -}}
{{- with .Values.image -}}
{{- if eq (printf "%T" .) "string" -}}
{{ printf "%q" . }}
{{- else -}}
{{- $repository := .repository -}}
{{- if .registry -}}
{{- $repository = printf "%s/%s" .registry .repository -}}
{{- end -}}
{{- if not .digest -}}
{{ printf "%s:%s" $repository (or .tag $.Chart.AppVersion) | printf "%q" }}
{{- else if .tag -}}
{{ printf "%s:%s@%s" $repository .tag .digest | printf "%q" }}
{{- else -}}
{{ printf "%s@%s" $repository .digest | printf "%q" }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "openirsa.pullPolicy" -}}
{{- if eq (printf "%T" .Values.image) "string" -}}
IfNotPresent
{{- else -}}
{{ .Values.image.pullPolicy }}
{{- end -}}
{{- end -}}

{{- define "openirsa.pullSecrets" }}
      {{- with .Values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end -}}

{{- /* Where the pods of a component run, by its values. Only the emulator's may name a
node. */ -}}
{{- define "openirsa.placement" }}
      {{- with .priorityClassName }}
      priorityClassName: {{ printf "%q" . }}
      {{- end }}
      {{- if or .nodeSelector (index . "node") }}
      nodeSelector:
        {{- with .nodeSelector }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- with index . "node" }}
        kubernetes.io/hostname: {{ printf "%q" . }}
        {{- end }}
      {{- end }}
      {{- with .affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with index . "topologySpreadConstraints" }}
      topologySpreadConstraints:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .podSecurityContext }}
      securityContext:
        {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end -}}

{{- define "openirsa.podAnnotations" }}
      {{- with .podAnnotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end -}}

{{- /* What a container has at its end. */ -}}
{{- define "openirsa.container" }}
          {{- with .resources }}
          resources:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          {{- with .securityContext }}
          securityContext:
            {{- toYaml . | nindent 12 }}
          {{- end }}
{{- end -}}

{{- /* Flags of all programs, where they are not the programs' own defaults. */ -}}
{{- define "openirsa.logging" }}
            {{- if ne .Values.log.format "text" }}
            - --log-format={{ .Values.log.format }}
            {{- end }}
            {{- if ne .Values.log.level "info" }}
            - --log-level={{ .Values.log.level }}
            {{- end }}
{{- end -}}

{{- define "openirsa.disruption" }}
  {{- if .minAvailable }}
  minAvailable: {{ .minAvailable }}
  {{- else }}
  maxUnavailable: {{ .maxUnavailable }}
  {{- end }}
  {{- with .unhealthyPodEvictionPolicy }}
  unhealthyPodEvictionPolicy: {{ . }}
  {{- end }}
{{- end -}}
