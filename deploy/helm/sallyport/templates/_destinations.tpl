{{- /*
Where the PEP may connect to: one list, from which its own allowlist, the NetworkPolicies and the tests are made. Where a
name may lead is checked by the PEP, except for the database's, which its driver looks up by itself: what the values give, the
Services' networks for a Service's, the addresses that the NetworkPolicy opens, or else the world.
*/ -}}

{{- define "sallyport.destinations" -}}
{{- $found := list -}}
{{- range .Values.upstreams -}}
{{- $found = append $found (dict "name" .name "url" .url "network" .network "networks" .networks "checked" true) -}}
{{- end -}}
{{- with .Values.database -}}
{{- if .url -}}{{- $found = append $found (dict "name" "database" "url" .url "network" .network) -}}{{- end -}}
{{- end -}}
{{- with .Values.logging -}}
{{- if .otlpEndpoint -}}{{- $found = append $found (dict "name" "logging" "url" .otlpEndpoint "network" .network "networks" .networks "checked" true) -}}{{- end -}}
{{- end -}}
{{- $ports := dict "https" 443 "http" 80 "postgresql" 5432 -}}
{{- $result := list -}}
{{- range $found -}}
{{- $url := urlParse .url -}}
{{- $host := $url.hostname -}}
{{- $named := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- $port := int ($named | default (index $ports $url.scheme)) -}}
{{- $written := ternary (printf "[%s]" $host) $host (contains ":" $host) | lower -}}
{{- $one := dict "name" .name "host" $host "port" $port "address" (printf "%s:%d" $written $port) "network" (.network | default dict) "given" (.networks | default list) -}}
{{- $kind := ternary (include "sallyport.kindOfHost" (dict "root" $ "host" $host)) "unchecked" (.checked | default false) -}}
{{- $networks := dict "service" $.Values.cluster.serviceNetworks "name" (dig "cidrs" list $one.network) -}}
{{- if hasKey $networks $kind -}}{{- $networks = $one.given | default (get $networks $kind) -}}{{- else -}}{{- $networks = list -}}{{- end -}}
{{- $result = append $result (merge $one (dict "kind" $kind "networks" $networks)) -}}
{{- end -}}
{{- $result | toJson -}}
{{- end -}}

{{- /* What a host is: the name of a Service, which leads to the Services' networks; a name, which leads into the world; an address. */ -}}
{{- define "sallyport.kindOfHost" -}}
{{- if or (contains ":" .host) (regexMatch "^[0-9.]+$" .host) -}}address
{{- else if or (hasSuffix ".svc" .host) (hasSuffix (printf ".svc.%s" .root.Values.clusterDomain) .host) -}}service
{{- else -}}name
{{- end -}}
{{- end -}}

{{- /* The PEP's own allowlist: each destination once. */ -}}
{{- define "sallyport.egress" -}}
{{- $listed := dict -}}
{{- range include "sallyport.destinations" . | fromJsonArray -}}
{{- $_ := set $listed .address (ternary (dict "destination" .address "networks" .networks) .address (not (empty .networks))) -}}
{{- end -}}
{{- $egress := list -}}
{{- range keys $listed | sortAlpha -}}{{- $egress = append $egress (get $listed .) -}}{{- end -}}
{{- $egress | toJson -}}
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
