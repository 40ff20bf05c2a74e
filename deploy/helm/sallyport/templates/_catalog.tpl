{{- /* catalog.yaml, rendered from `tools`, `catalog` and `upstreams`; the reviewed entries of hosted tools come with the chart. */ -}}

{{- define "sallyport.shippedTools" -}}
{{- $byName := dict -}}
{{- range (.Files.Get "files/policies/catalog.yaml" | fromYaml).tools -}}
{{- $_ := set $byName .name . -}}
{{- end -}}
{{- $byName | toJson -}}
{{- end -}}

{{- /* Every tool as a whole entry; an unknown name stays a bare one, for the check to find. */ -}}
{{- define "sallyport.tools" -}}
{{- $shipped := include "sallyport.shippedTools" . | fromJson -}}
{{- $tools := list -}}
{{- range .Values.tools -}}
{{- if kindIs "string" . -}}
{{- $tools = append $tools (get $shipped . | default (dict "name" .)) -}}
{{- else -}}
{{- $tools = append $tools . -}}
{{- end -}}
{{- end -}}
{{- $tools | toJson -}}
{{- end -}}

{{- define "sallyport.catalog" -}}
{{- $catalog := dict "tools" (include "sallyport.tools" . | fromJsonArray) -}}
{{- range $part, $entries := .Values.catalog -}}
{{- if $entries -}}{{- $_ := set $catalog $part $entries -}}{{- end -}}
{{- end -}}
{{- $upstreams := dict -}}
{{- range .Values.upstreams -}}{{- $_ := set $upstreams .name (include "sallyport.upstream" . | fromJson) -}}{{- end -}}
{{- if $upstreams -}}{{- $_ := set $catalog "upstreams" $upstreams -}}{{- end -}}
{{- toYaml $catalog -}}
{{- end -}}

{{- /* An entry of the catalog's upstreams: which header and certificate there are; their values are files. */ -}}
{{- define "sallyport.upstream" -}}
{{- $entry := pick . "url" "era" "audience" "capabilities" "limits" -}}
{{- with .credential -}}{{- $_ := set $entry "credential" (include "sallyport.credentialHeader" .) -}}{{- end -}}
{{- if .clientCertificate -}}{{- $_ := set $entry "client_certificate" true -}}{{- end -}}
{{- if .assertion -}}{{- $_ := set $entry "assertion" true -}}{{- end -}}
{{- $entry | toJson -}}
{{- end -}}

{{- define "sallyport.credentialHeader" -}}
{{- .header | default "authorization" -}}
{{- end -}}

{{- /* The upstreams that some tool, prompt or resource is of. */ -}}
{{- define "sallyport.usedUpstreams" -}}
{{- $used := list -}}
{{- range include "sallyport.tools" . | fromJsonArray -}}{{- $used = append $used (dig "provider" "upstream" "" .) -}}{{- end -}}
{{- range concat .Values.catalog.prompts .Values.catalog.resources -}}{{- $used = append $used .upstream -}}{{- end -}}
{{- $used | compact | uniq | toJson -}}
{{- end -}}

{{- /* Not empty if a listed tool is provided by one of these hosted functions. */ -}}
{{- define "sallyport.uses" -}}
{{- $hosted := .hosted -}}
{{- range include "sallyport.tools" .root | fromJsonArray -}}
{{- if has (dig "provider" "hosted" "" .) $hosted -}}yes{{- end -}}
{{- end -}}
{{- end -}}
{{- define "sallyport.usesFiles" -}}
{{- include "sallyport.uses" (dict "root" . "hosted" (list "list_files" "read_file" "write_file" "delete_file")) -}}
{{- end -}}
{{- define "sallyport.usesDatabase" -}}
{{- include "sallyport.uses" (dict "root" . "hosted" (list "database_query" "describe_table")) -}}
{{- end -}}

{{- /* The shipped policies, and the tests beside them, whose tools are all in the catalog: one that names another would refuse the whole set. */ -}}
{{- define "sallyport.policyFiles" -}}
{{- $names := list -}}
{{- range include "sallyport.tools" . | fromJsonArray -}}{{- $names = append $names .name -}}{{- end -}}
{{- $missing := list -}}
{{- range include "sallyport.shippedTools" . | fromJson | keys -}}{{- if not (has . $names) -}}{{- $missing = append $missing . -}}{{- end -}}{{- end -}}
{{- $files := dict "base.cedarschema" (.Files.Get "files/policies/base.cedarschema") -}}
{{- range $path, $bytes := .Files.Glob "files/policies/*.cedar" -}}
{{- $text := toString $bytes -}}
{{- $served := true -}}
{{- range regexFindAll "Action::\"[A-Za-z0-9_.-]+\"" $text -1 -}}
{{- if not (has (. | trimPrefix "Action::\"" | trimSuffix "\"") $names) -}}{{- $served = false -}}{{- end -}}
{{- end -}}
{{- if $served -}}
{{- $_ := set $files (base $path) $text -}}
{{- $tests := printf "%s.test.yaml" (trimSuffix ".cedar" $path) -}}
{{- $told := $.Files.Get $tests -}}
{{- range $missing -}}{{- if regexMatch (printf "\\b%s\\b" .) $told -}}{{- $told = "" -}}{{- end -}}{{- end -}}
{{- if $told -}}{{- $_ := set $files (base $tests) $told -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- $files | toJson -}}
{{- end -}}
