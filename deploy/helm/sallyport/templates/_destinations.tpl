{{- /* Where the PEP may connect to: one list, from which its own allowlist, the NetworkPolicies and the tests are made. */ -}}

{{- define "sallyport.destinations" -}}
{{- $found := list -}}
{{- range .Values.upstreams -}}
{{- $found = append $found (dict "name" .name "url" .url "network" .network) -}}
{{- end -}}
{{- with .Values.database -}}
{{- if .url -}}{{- $found = append $found (dict "name" "database" "url" .url "network" .network) -}}{{- end -}}
{{- end -}}
{{- with .Values.logging -}}
{{- if .otlpEndpoint -}}{{- $found = append $found (dict "name" "logging" "url" .otlpEndpoint "network" .network) -}}{{- end -}}
{{- end -}}
{{- $ports := dict "https" 443 "http" 80 "postgresql" 5432 -}}
{{- $result := list -}}
{{- range $found -}}
{{- $url := urlParse .url -}}
{{- $host := $url.hostname -}}
{{- $named := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- $port := int ($named | default (index $ports $url.scheme)) -}}
{{- $written := ternary (printf "[%s]" $host) $host (contains ":" $host) | lower -}}
{{- $result = append $result (dict "name" .name "host" $host "port" $port "address" (printf "%s:%d" $written $port) "network" (.network | default dict)) -}}
{{- end -}}
{{- $result | toJson -}}
{{- end -}}

{{- /* A peer of a NetworkPolicy: pods of one namespace, or networks outside the cluster. */ -}}
{{- define "sallyport.peers" -}}
{{- if .namespace }}
- namespaceSelector:
    matchLabels: {kubernetes.io/metadata.name: {{ .namespace | quote }}}
  podSelector:
    matchLabels:
      {{- toYaml .podLabels | nindent 6 }}
{{- end }}
{{- range .cidrs }}
- ipBlock: {cidr: {{ . | quote }}}
{{- end }}
{{- end -}}
