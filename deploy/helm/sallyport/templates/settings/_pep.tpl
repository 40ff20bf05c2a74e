{{- /* pep.yaml: what it says and what the network allows come from the same values. */ -}}

{{- define "sallyport.peer" -}}
{{- $peer := dict -}}
{{- if .spiffe -}}{{- $_ := set $peer "spiffe" .spiffe -}}{{- else -}}{{- $_ := set $peer "dns" .dns -}}{{- end -}}
{{- with .forwardIdentity -}}{{- $_ := set $peer "forward_identity" . -}}{{- end -}}
{{- $peer | toJson -}}
{{- end -}}

{{- define "sallyport.pepTls" -}}
{{- $orchestrators := list -}}
{{- range .Values.orchestrators -}}{{- $orchestrators = append $orchestrators (include "sallyport.peer" . | fromJson) -}}{{- end -}}
{{- $tls := dict
      "certificate" "/etc/sallyport/tls/tls.crt"
      "key" "/etc/sallyport/tls/tls.key"
      "client_ca" "/etc/sallyport/client-ca/ca.crt"
      "client_certificate" "required"
      "orchestrators" $orchestrators -}}
{{- with .Values.monitoring.prometheus -}}
{{- $_ := set $tls "management_clients" (list (include "sallyport.peer" (omit . "forwardIdentity") | fromJson)) -}}
{{- end -}}
{{- $tls | toJson -}}
{{- end -}}

{{- define "sallyport.pepIssuers" -}}
{{- $issuers := list -}}
{{- range .Values.issuers -}}
{{- $issuers = append $issuers (merge (dict "jwks" (printf "/etc/sallyport/issuers/%s.json" .name)) (omit . "jwks")) -}}
{{- end -}}
{{- $issuers | toJson -}}
{{- end -}}

{{- define "sallyport.databaseUrl" -}}
{{- printf "%s?sslmode=verify-full&sslrootcert=/etc/sallyport/database/ca.crt" .Values.database.url -}}
{{- end -}}

{{- define "sallyport.pepLimits" -}}
{{- $limits := dict
      "connections" (int .Values.limits.connections)
      "streams_per_caller" (int .Values.limits.streamsPerCaller)
      "body_bytes" (int .Values.limits.bodyBytes)
      "drain_seconds" (int .Values.stopSeconds.drain) -}}
{{- with int .Values.limits.streams -}}{{- $_ := set $limits "streams" . -}}{{- end -}}
{{- $limits | toJson -}}
{{- end -}}

{{- define "sallyport.pepSettings" -}}
{{- $name := include "sallyport.fullname" . -}}
{{- $settings := dict
      "listen" (printf "%s:8443" .Values.listenAddress)
      "management" (printf "%s:8444" .Values.listenAddress)
      "resource" (include "sallyport.resource" .)
      "also_known_as" .Values.alsoKnownAs
      "tls" (include "sallyport.pepTls" . | fromJson)
      "pdp" (dict "address" (include "sallyport.pdpAddress" .) "hop_key" "/run/sallyport/hop.key" "deadline_ms" (int .Values.pdp.deadlineMs))
      "policies" "/etc/sallyport/policies"
      "issuers" (include "sallyport.pepIssuers" . | fromJsonArray)
      "egress" (include "sallyport.egress" . | fromJsonArray)
      "eras" .Values.eras
      "origins" .Values.origins
      "limits" (include "sallyport.pepLimits" . | fromJson) -}}
{{- $_ := set $settings "audit" (include "sallyport.auditSettings" . | fromJson) -}}
{{- if include "sallyport.usesFiles" . -}}{{- $_ := set $settings "files" (dict "root" "/srv/files") -}}{{- end -}}
{{- if .Values.database.url -}}
{{- $database := dict "url" (include "sallyport.databaseUrl" .) -}}
{{- if .Values.database.passwordSecret -}}{{- $_ := set $database "password_file" "/etc/sallyport/database/password" -}}{{- end -}}
{{- $_ := set $settings "database" $database -}}
{{- end -}}
{{- if include "sallyport.upstreamFiles" . | fromJson -}}{{- $_ := set $settings "upstreams" "/etc/sallyport/upstreams" -}}{{- end -}}
{{- with .Values.assertion -}}
{{- if .secret -}}
{{- $keys := list -}}
{{- range .keys -}}{{- $keys = append $keys (printf "/etc/sallyport/assertion/%s" .) -}}{{- end -}}
{{- $_ := set $settings "assertion" (dict "key" $keys "issuer" .issuer "ttl_seconds" (int .ttlSeconds)) -}}
{{- end -}}
{{- end -}}
{{- with .Values.logging.otlpEndpoint -}}{{- $_ := set $settings "telemetry" (dict "otlp_endpoint" .) -}}{{- end -}}
{{- toYaml $settings -}}
{{- end -}}
