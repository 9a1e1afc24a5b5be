{{/* claviger.yaml: settings of the chart, overridden by the values. */}}
{{- define "claviger.config" -}}
{{- $server := dict "publicUrl" (include "claviger.url" .) -}}
{{- if ne (include "claviger.tlsMode" .) "none" -}}
{{- $_ := set $server "tls" (dict "certFile" "/etc/claviger/tls/tls.crt" "keyFile" "/etc/claviger/tls/tls.key") -}}
{{- end -}}
{{- /* In the database also with SQLite: the tickets of a pod that ends can be redeemed at the next one. */ -}}
{{- $known := dict "server" $server "tickets" (dict "store" "database") -}}
{{- if eq .Values.database.kind "postgres" -}}
{{- $_ := set $known "database" (dict "keyFile" "/etc/claviger/keys/database") -}}
{{- if .Values.database.postgres.passwordKey -}}
{{- $_ := set $known.database "passwordFile" "/etc/claviger/keys/database-password" -}}
{{- end -}}
{{- if .Values.database.postgres.allowDataLoss -}}
{{- $_ := set $known.database "allowDataLoss" true -}}
{{- end -}}
{{- else -}}
{{- $_ := set $known "database" (dict "url" "sqlite:///var/lib/claviger/claviger.db") -}}
{{- end -}}
{{- if .Values.policies -}}
{{- $_ := set $known "policies" (dict "directory" "/etc/claviger/policies") -}}
{{- end -}}
{{- if .Values.audit.keySecret -}}
{{- $audit := dict "keyFile" "/etc/claviger/keys/audit" -}}
{{- $retired := list -}}
{{- range .Values.audit.retiredKeySecretKeys -}}
{{- $retired = append $retired (printf "/etc/claviger/keys/retired/%s" .) -}}
{{- end -}}
{{- if $retired -}}
{{- $_ := set $audit "retiredKeyFiles" $retired -}}
{{- end -}}
{{- $_ := set $known "audit" $audit -}}
{{- end -}}
{{- mergeOverwrite $known (deepCopy .Values.config) | toYaml -}}
{{- end -}}

{{/* Not empty where policies are read as custom resources. */}}
{{- define "claviger.customResources" -}}
{{- with (((.Values.config).policies).customResources) }}{{ join "," . }}{{ end -}}
{{- end -}}
