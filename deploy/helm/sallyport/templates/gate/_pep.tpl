{{- /* The PEP: ready only with a PDP that decides, a catalog that it serves, keys, and a record that can be written. */ -}}

{{- define "sallyport.pepContainer" -}}
image: {{ include "sallyport.image" (dict "root" . "name" "pep") | quote }}
imagePullPolicy: {{ .Values.images.pullPolicy }}
args: [--config, /etc/sallyport/settings/pep.yaml]
ports:
  - {name: mcp, containerPort: 8443}
  - {name: management, containerPort: 8444}
startupProbe:
  httpGet: {path: /live, port: management, scheme: HTTPS}
  periodSeconds: 1
  timeoutSeconds: 5
  failureThreshold: 120
livenessProbe:
  httpGet: {path: /live, port: management, scheme: HTTPS}
  # A busy node must not kill what is only slow: a restart would cost it more.
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /ready, port: management, scheme: HTTPS}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
lifecycle:
  # The Service needs a moment to send nobody here any more; then SIGTERM, and what runs is finished.
  preStop: {sleep: {seconds: {{ .Values.stopSeconds.endpoints }}}}
resources:
  {{- toYaml .Values.resources.pep | nindent 2 }}
securityContext:
  {{- include "sallyport.containerSecurity" . | nindent 2 }}
volumeMounts:
  - {name: settings, mountPath: /etc/sallyport/settings, readOnly: true}
  - {name: policies, mountPath: /etc/sallyport/policies, readOnly: true}
  - {name: tls, mountPath: /etc/sallyport/tls, readOnly: true}
  - {name: client-ca, mountPath: /etc/sallyport/client-ca, readOnly: true}
  - {name: issuers, mountPath: /etc/sallyport/issuers, readOnly: true}
  - {name: pep-audit-keys, mountPath: /etc/sallyport/audit-keys, readOnly: true}
  - {name: run, mountPath: /run/sallyport, readOnly: true}
  - {name: audit, mountPath: /var/lib/sallyport/audit, subPath: pep}
  {{- if include "sallyport.usesFiles" . }}
  - {name: files, mountPath: /srv/files, readOnly: {{ .Values.files.readOnly }}}
  {{- end }}
  {{- if .Values.database.url }}
  - {name: database, mountPath: /etc/sallyport/database, readOnly: true}
  {{- end }}
  {{- range $name := include "sallyport.upstreamFiles" . | fromJson | keys | sortAlpha }}
  - {name: upstream-{{ $name }}, mountPath: /etc/sallyport/upstreams/{{ $name }}, readOnly: true}
  {{- end }}
  {{- if .Values.assertion.secret }}
  - {name: assertion, mountPath: /etc/sallyport/assertion, readOnly: true}
  {{- end }}
{{- end -}}
