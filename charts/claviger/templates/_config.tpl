{{/* claviger.yaml: what the chart knows, and over it what the values say. */}}
{{- define "claviger.config" -}}
{{- $scheme := ternary "http" "https" (eq .Values.tls.mode "none") -}}
{{- $host := printf "%s.%s.svc" (include "claviger.name" .) .Release.Namespace -}}
{{- $server := dict "publicUrl" (printf "%s://%s:%s" $scheme $host (include "claviger.port" .)) -}}
{{- if ne .Values.tls.mode "none" -}}
{{- $_ := set $server "tls" (dict "certFile" "/etc/claviger/tls/tls.crt" "keyFile" "/etc/claviger/tls/tls.key") -}}
{{- end -}}
{{- $known := dict "server" $server -}}
{{- if eq .Values.database.kind "postgres" -}}
{{- $_ := set $known "database" (dict "keyFile" "/etc/claviger/keys/database") -}}
{{- else -}}
{{- $_ := set $known "database" (dict "url" "sqlite:///var/lib/claviger/claviger.db") -}}
{{- end -}}
{{- if .Values.policies -}}
{{- $_ := set $known "policies" (dict "directory" "/etc/claviger/policies") -}}
{{- end -}}
{{- if .Values.audit.keySecret -}}
{{- $_ := set $known "audit" (dict "keyFile" "/etc/claviger/keys/audit") -}}
{{- end -}}
{{- mergeOverwrite $known (deepCopy .Values.config) | toYaml -}}
{{- end -}}
