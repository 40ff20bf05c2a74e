{{- /* Volumes of the pod. Secrets are 0440 for the pod's group; nothing is mounted by subPath that must stay live. */ -}}

{{- define "sallyport.secretVolume" -}}
- name: {{ .name }}
  secret:
    secretName: {{ .secret | quote }}
    defaultMode: 0440
    items: [{{ range $i, $key := .keys }}{{ if $i }}, {{ end }}{key: {{ $key | quote }}, path: {{ $key | quote }}}{{ end }}]
{{- end -}}

{{- /* By upstream: what its folder is made of, as the sources of a projected volume. Those without a file have no folder. */ -}}
{{- define "sallyport.upstreamFiles" -}}
{{- $folders := dict -}}
{{- range .Values.upstreams -}}
{{- $sources := list -}}
{{- with .ca -}}
{{- $items := list (dict "key" (.key | default "ca.crt") "path" "ca.crt") -}}
{{- if .configMap -}}
{{- $sources = append $sources (dict "configMap" (dict "name" .configMap "items" $items)) -}}
{{- else -}}
{{- $sources = append $sources (dict "secret" (dict "name" .secret "items" $items)) -}}
{{- end -}}
{{- end -}}
{{- with .credential -}}
{{- $sources = append $sources (dict "secret" (dict "name" .secret "items" (list (dict "key" (.key | default "credential") "path" "credential")))) -}}
{{- end -}}
{{- with .clientCertificate -}}
{{- $items := list (dict "key" "tls.crt" "path" "tls.crt") (dict "key" "tls.key" "path" "tls.key") -}}
{{- $sources = append $sources (dict "secret" (dict "name" .secret "items" $items)) -}}
{{- end -}}
{{- if $sources -}}{{- $_ := set $folders .name $sources -}}{{- end -}}
{{- end -}}
{{- $folders | toJson -}}
{{- end -}}

{{- define "sallyport.volumes" -}}
- name: settings
  configMap: {name: {{ include "sallyport.fullname" . }}-settings}
# Without `items`, which would hide a key that is added later.
- name: policies
  projected:
    sources:
      {{- $names := include "sallyport.policyConfigMaps" . | fromJson }}
      {{- range list "policies" "roles" "agents" "resources" "catalog" }}
      - configMap: {name: {{ get $names . | quote }}}
      {{- end }}
{{ include "sallyport.secretVolume" (dict "name" "tls" "secret" (include "sallyport.tlsSecret" .) "keys" (list "tls.crt" "tls.key")) }}
{{ include "sallyport.secretVolume" (dict "name" "client-ca" "secret" .Values.tls.clientCaSecret "keys" (list "ca.crt")) }}
{{ include "sallyport.secretVolume" (dict "name" "pep-audit-keys" "secret" .Values.audit.pepKeySecret "keys" (list "signing.key" "masking.key")) }}
{{ include "sallyport.secretVolume" (dict "name" "pdp-audit-keys" "secret" .Values.audit.pdpKeySecret "keys" (list "signing.key" "masking.key")) }}
{{- with .Values.policies.operatorKeySecret }}
{{ include "sallyport.secretVolume" (dict "name" "operator" "secret" . "keys" (list "operator.key")) }}
{{- end }}
- name: issuers
  projected:
    defaultMode: 0440
    sources:
      {{- range .Values.issuers }}
      {{- if .jwks.configMap }}
      - configMap: {name: {{ .jwks.configMap | quote }}, items: [{key: {{ .jwks.key | default "jwks.json" | quote }}, path: {{ .name }}.json}]}
      {{- else if .jwks.secret }}
      - secret: {name: {{ .jwks.secret | quote }}, items: [{key: {{ .jwks.key | default "jwks.json" | quote }}, path: {{ .name }}.json}]}
      {{- else }}
      - configMap: {name: {{ include "sallyport.fullname" $ }}-issuers, items: [{key: {{ .name }}.json, path: {{ .name }}.json}]}
      {{- end }}
      {{- else }}
      []
      {{- end }}
- name: run
  emptyDir: {medium: Memory, sizeLimit: 1Mi}
{{- if include "sallyport.usesFiles" . }}
- name: files
  {{- if .Values.files.claim }}
  persistentVolumeClaim: {claimName: {{ .Values.files.claim | quote }}, readOnly: {{ .Values.files.readOnly }}}
  {{- else }}
  emptyDir: {sizeLimit: 1Gi}
  {{- end }}
{{- end }}
{{- if .Values.database.url }}
- name: database
  projected:
    defaultMode: 0440
    sources:
      - secret: {name: {{ .Values.database.caSecret | quote }}, items: [{key: ca.crt, path: ca.crt}]}
      {{- with .Values.database.passwordSecret }}
      - secret: {name: {{ . | quote }}, items: [{key: password, path: password}]}
      {{- end }}
{{- end }}
{{- range $name, $sources := include "sallyport.upstreamFiles" . | fromJson }}
- name: upstream-{{ $name }}
  projected:
    defaultMode: 0440
    sources:
      {{- toYaml $sources | nindent 6 }}
{{- end }}
{{- with .Values.assertion.secret }}
{{ include "sallyport.secretVolume" (dict "name" "assertion" "secret" . "keys" $.Values.assertion.keys) }}
{{- end }}
{{- if not .Values.audit.persistence.enabled }}
# The record dies with the pod: for a first look only.
- name: audit
  emptyDir: {}
{{- end }}
{{- end -}}
