{{- /* What stands behind the gate: how it is asked, who is believed there, and where its name may lead. */ -}}

{{- define "sallyport.wrong.upstreams" -}}
{{- $wrong := list -}}
{{- $taken := "^(host|te|trailer|transfer-encoding|upgrade|connection|keep-alive|expect|cookie|origin|referer|forwarded|via|range|last-event-id|trace(parent|state)|baggage|user-agent|(content|accept|proxy|mcp|sec|sallyport|x-forwarded|if)(-.*)?)$" -}}
{{- range $one := .Values.upstreams -}}
{{- if hasPrefix "http:" .url -}}
{{- $wrong = append $wrong (printf "%s: the url is plain http: whoever is in between could read each answer%s, and write others. Give its https url." .name (ternary " and the credential" "" (not (empty .credential)))) -}}
{{- end -}}
{{- if hasKey . "ca" -}}
{{- if eq (empty .ca.secret) (empty .ca.configMap) -}}
{{- $wrong = append $wrong (printf "%s: ca needs exactly one of secret and configMap: two would leave open whom to believe." .name) -}}
{{- end -}}
{{- else if eq "service" (include "sallyport.kindOfHost" (dict "root" $ "host" (urlParse .url).hostname)) -}}
{{- $wrong = append $wrong (printf "%s: ca is missing: no public CA vouches for the name of a Service. Name the Secret or ConfigMap that holds ca.crt." .name) -}}
{{- end -}}
{{- with .credential -}}
{{- $header := include "sallyport.credentialHeader" . -}}
{{- if regexMatch $taken $header -}}
{{- $wrong = append $wrong (printf "%s: credential.header is %q, which frames, routes or already says something else: the request would be another one. Name the header that the upstream asks for, such as authorization." $one.name $header) -}}
{{- end -}}
{{- end -}}
{{- if and .assertion (not $.Values.assertion.secret) -}}
{{- $wrong = append $wrong (printf "%s: assertion is true and assertion.secret is missing: there is no key to say with for whom a call is. Name the Secret that holds it." .name) -}}
{{- end -}}
{{- end -}}
{{- $wrong | toJson -}}
{{- end -}}

{{- define "sallyport.wrong.assertion" -}}
{{- $wrong := list -}}
{{- with .Values.assertion -}}
{{- if ne (empty .secret) (empty .issuer) -}}
{{- $wrong = append $wrong "assertion needs both secret and issuer, or neither: an upstream must know whose word it is. Give the gate's https url as issuer." -}}
{{- end -}}
{{- if and .secret (has .secret (list (include "sallyport.tlsSecret" $) $.Values.audit.pepKeySecret $.Values.audit.pdpKeySecret)) -}}
{{- $wrong = append $wrong (printf "assertion.secret is %q, which holds keys for something else: what one signs could pass for the other. Give it a Secret of its own." .secret) -}}
{{- end -}}
{{- range $.Values.issuers -}}
{{- if eq .issuer $.Values.assertion.issuer -}}
{{- $wrong = append $wrong (printf "assertion.issuer is also that of issuer %q: what the gate signs would look like a token for it. Give the gate a url of its own." .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $wrong | toJson -}}
{{- end -}}

{{- /* Where names may lead. A list that is wrong is told of once, and not for each upstream that it serves. */ -}}
{{- define "sallyport.wrong.networks" -}}
{{- $wrong := list -}}
{{- range $network := .Values.cluster.serviceNetworks -}}
{{- with include "sallyport.wrong.found" . -}}{{- $wrong = append $wrong (printf "cluster.serviceNetworks: %s" .) -}}{{- end -}}
{{- end -}}
{{- $seen := dict -}}
{{- range $to := include "sallyport.destinations" . | fromJsonArray -}}
{{- range .given -}}
{{- with include "sallyport.wrong.found" . -}}{{- $wrong = append $wrong (printf "%s: networks: %s" $to.name .) -}}{{- end -}}
{{- end -}}
{{- if and .given (ne .kind "name") (ne .kind "service") -}}
{{- $wrong = append $wrong (printf "%s: networks are for names, and the url's host %q is where it is. Leave them out." .name .host) -}}
{{- else if and (eq .kind "service") (not .networks) -}}
{{- $wrong = append $wrong (printf "%s: the url's host %q is a Service's and cluster.serviceNetworks is empty: a name may lead to private addresses only where you say so. Look it up with `kubectl get servicecidrs`, or else `kubectl cluster-info dump | grep -m 1 service-cluster-ip-range`; for a headless Service give the pods' range as networks." .name .host) -}}
{{- else if and (eq .kind "name") .network.namespace (not .networks) -}}
{{- $wrong = append $wrong (printf "%s: network names pods and the url's host %q is no Service's name: the gate would look for it in the world only. Write a host that ends in .svc, or give networks." .name .host) -}}
{{- end -}}
{{- if and (eq .kind "name") (not .given) -}}
{{- range .networks -}}
{{- if not (include "sallyport.wrong.cidr" .) -}}
{{- with include "sallyport.wrong.spelling" . -}}{{- $wrong = append $wrong (printf "%s: %s" $to.name .) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (contains ":" .host) (ne .host (include "sallyport.ipv6" .host)) (not (include "sallyport.wrong.host" .host)) -}}
{{- $wrong = append $wrong (printf "%s: the url's host %q is spelled otherwise than the gate compares it, or no address. Write it in its shortest form, such as 2001:db8::1." .name .host) -}}
{{- end -}}
{{- $before := get $seen .address -}}
{{- if and $before (ne (toJson $before.networks) (toJson .networks)) -}}
{{- $wrong = append $wrong (printf "%s and %s lead to %s by different networks: one would silently win. Give both the same." $before.name .name .address) -}}
{{- end -}}
{{- $_ := set $seen .address . -}}
{{- end -}}
{{- $wrong | toJson -}}
{{- end -}}
