{{/* The provider of the Secrets Store CSI driver. Its labels are not the broker's: a Service must never send a build to it. */}}
{{- define "claviger.csi.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}-csi
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "claviger.csi.labels" -}}
{{ include "claviger.csi.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "claviger.csi.namespace" -}}
{{- .Values.csi.namespace | default .Release.Namespace -}}
{{- end -}}

{{- define "claviger.csi.server" -}}
{{- .Values.csi.server | default (include "claviger.url" .) -}}
{{- end -}}

{{/* Where ca.crt comes from: the value, the TLS Secret of this release, or nowhere (the roots of the image). */}}
{{- define "claviger.csi.ca" -}}
{{- if .Values.csi.caConfigMap -}}
configMap:
  name: {{ .Values.csi.caConfigMap | quote }}
  items: [{key: ca.crt, path: ca.crt}]
{{- else if and (not .Values.csi.server) (ne (include "claviger.tlsMode" .) "none") -}}
{{- if ne (include "claviger.csi.namespace" .) .Release.Namespace -}}
{{- fail "csi.caConfigMap: must be set where csi.namespace is another namespace than the release's" -}}
{{- end -}}
secret:
  secretName: {{ include "claviger.tlsSecret" . | quote }}
  # Not the key.
  items: [{key: ca.crt, path: ca.crt}]
{{- end -}}
{{- end -}}
