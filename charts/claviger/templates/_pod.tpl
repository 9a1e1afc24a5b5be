{{/* The pod, for the StatefulSet and the Deployment. */}}
{{- define "claviger.pod" -}}
metadata:
  labels:
    {{- include "claviger.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    # A changed configuration restarts the pod; changed policies, certificates and tokens are read again without a restart.
    claviger.dev/config: {{ include "claviger.config" . | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "claviger.serviceAccount" . | quote }}
  # The token for the API server: reviews, and objects for attestation. Tokens for stores are projected below.
  automountServiceAccountToken: true
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ include "claviger.gracePeriod" . }}
  {{- with .Values.podSecurityContext }}
  securityContext: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . | quote }}
    {{- end }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . | quote }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if eq .Values.database.kind "postgres" }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels: {{- include "claviger.selector" . | nindent 10 }}
  {{- end }}
  containers:
    - name: claviger
      image: {{ include "claviger.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [serve, --config, /etc/claviger/claviger.yaml]
      {{- $postgres := eq .Values.database.kind "postgres" }}
      {{- if or $postgres .Values.extraEnv }}
      env:
        {{- if $postgres }}
        - name: CLAVIGER__DATABASE__URL
          valueFrom:
            secretKeyRef:
              name: {{ required "database.postgres.secret: must be set where database.kind is postgres" .Values.database.postgres.secret | quote }}
              key: {{ .Values.database.postgres.urlKey | quote }}
        {{- with .Values.database.postgres.directUrlKey }}
        - name: CLAVIGER__DATABASE__DIRECTURL
          valueFrom:
            secretKeyRef:
              name: {{ $.Values.database.postgres.secret | quote }}
              key: {{ . | quote }}
        {{- end }}
        {{- end }}
        {{- with .Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
      ports:
        - name: api
          containerPort: {{ include "claviger.port" . }}
        - name: ops
          containerPort: 9090
      # The process answers; tickets can be redeemed, also during a drain.
      livenessProbe:
        httpGet: {path: /livez, port: ops}
        periodSeconds: 10
        failureThreshold: 3
      startupProbe:
        httpGet: {path: /livez, port: ops}
        periodSeconds: 1
        failureThreshold: 60
      # Tickets are issued; not during a drain.
      readinessProbe:
        httpGet: {path: /readyz, port: ops}
        periodSeconds: 5
        failureThreshold: 1
      {{- if and $postgres (gt (int .Values.preStopSeconds) 0) (semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version) }}
      lifecycle:
        preStop:
          sleep:
            seconds: {{ .Values.preStopSeconds }}
      {{- end }}
      {{- with .Values.securityContext }}
      securityContext: {{- toYaml . | nindent 8 }}
      {{- end }}
      resources: {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        - name: config
          mountPath: /etc/claviger/claviger.yaml
          subPath: claviger.yaml
          readOnly: true
        {{- if .Values.policies }}
        - name: policies
          mountPath: /etc/claviger/policies
          readOnly: true
        {{- end }}
        {{- if ne (include "claviger.tlsMode" .) "none" }}
        - name: tls
          mountPath: /etc/claviger/tls
          readOnly: true
        {{- end }}
        {{- if or $postgres .Values.audit.keySecret }}
        - name: keys
          mountPath: /etc/claviger/keys
          readOnly: true
        {{- end }}
        {{- if .Values.storeTokens }}
        - name: store-tokens
          mountPath: /var/run/secrets/claviger
          readOnly: true
        {{- end }}
        {{- if not $postgres }}
        - name: data
          mountPath: /var/lib/claviger
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: config
      configMap:
        name: {{ include "claviger.name" . }}
    {{- if .Values.policies }}
    - name: policies
      configMap:
        name: {{ include "claviger.name" . }}-policies
    {{- end }}
    {{- if ne (include "claviger.tlsMode" .) "none" }}
    - name: tls
      secret:
        secretName: {{ include "claviger.tlsSecret" . | quote }}
        defaultMode: 288 # 0440
    {{- end }}
    {{- if or $postgres .Values.audit.keySecret }}
    - name: keys
      projected:
        defaultMode: 288 # 0440
        sources:
          {{- if $postgres }}
          - secret:
              name: {{ .Values.database.postgres.secret | quote }}
              items:
                - key: {{ .Values.database.postgres.keyFileKey | quote }}
                  path: database
                {{- with .Values.database.postgres.passwordKey }}
                - key: {{ . | quote }}
                  path: database-password
                {{- end }}
          {{- end }}
          {{- with .Values.audit.keySecret }}
          - secret:
              name: {{ . | quote }}
              items:
                - key: {{ $.Values.audit.keySecretKey | quote }}
                  path: audit
                {{- range $.Values.audit.retiredKeySecretKeys }}
                - key: {{ . | quote }}
                  path: retired/{{ . }}
                {{- end }}
          {{- end }}
    {{- end }}
    {{- if .Values.storeTokens }}
    - name: store-tokens
      projected:
        defaultMode: 288 # 0440
        sources:
          {{- range .Values.storeTokens }}
          - serviceAccountToken:
              path: {{ .file | quote }}
              audience: {{ .audience | quote }}
              expirationSeconds: {{ .expirationSeconds | default 3600 | int }}
          {{- end }}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
