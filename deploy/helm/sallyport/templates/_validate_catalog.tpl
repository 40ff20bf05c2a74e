{{- /* The catalog: only what was approved, of upstreams that are listed, in sets that name nothing else. */ -}}

{{- define "sallyport.wrong.entry" -}}
{{- if not (has .entry.upstream .upstreams) -}}
{{- printf "%s: %q names the upstream %q, which upstreams doesn't list: no door would open for it." .list .key .entry.upstream -}}
{{- else if and .pinned (not .entry.pin) -}}
{{- printf "%s: %q has no pin: nobody said that its definition is what it should be, so it would never be served. Run `sallyport catalog pull` and `sallyport catalog approve`, and take over the entry that they write." .list .key -}}
{{- end -}}
{{- end -}}

{{- define "sallyport.wrong.catalog" -}}
{{- $wrong := list -}}
{{- $upstreams := list -}}
{{- range .Values.upstreams -}}{{- $upstreams = append $upstreams .name -}}{{- end -}}
{{- $known := dict "tools" list "prompts" list "resources" list -}}
{{- range include "sallyport.tools" . | fromJsonArray -}}
{{- $_ := set $known "tools" (append $known.tools .name) -}}
{{- if dig "provider" "upstream" "" . -}}
{{- $entry := dict "upstream" .provider.upstream "pin" .pin -}}
{{- with include "sallyport.wrong.entry" (dict "list" "tools" "key" .name "entry" $entry "upstreams" $upstreams "pinned" true) -}}{{- $wrong = append $wrong . -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- range .Values.catalog.prompts -}}
{{- $_ := set $known "prompts" (append $known.prompts .name) -}}
{{- with include "sallyport.wrong.entry" (dict "list" "catalog.prompts" "key" .name "entry" . "upstreams" $upstreams "pinned" true) -}}{{- $wrong = append $wrong . -}}{{- end -}}
{{- end -}}
{{- range .Values.catalog.resources -}}
{{- $keys := list .uri .template .prefix | compact -}}
{{- $key := first $keys | default "" -}}
{{- $_ := set $known "resources" (append $known.resources $key) -}}
{{- if ne (len $keys) 1 -}}
{{- $wrong = append $wrong (printf "catalog.resources: an entry of %q needs exactly one of uri, template and prefix." .upstream) -}}
{{- else -}}
{{- with include "sallyport.wrong.entry" (dict "list" "catalog.resources" "key" $key "entry" . "upstreams" $upstreams "pinned" false) -}}{{- $wrong = append $wrong . -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- range $name, $set := .Values.catalog.servers -}}
{{- range $part, $listed := $set -}}
{{- range $listed -}}
{{- if not (has . (get $known $part)) -}}
{{- $wrong = append $wrong (printf "catalog.servers: %q names %q, which isn't among the %s that are served. Add it there, or leave it out here." $name . $part) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $wrong | toJson -}}
{{- end -}}
