{{- /* How a network is written: the PEP compares text, so it takes one spelling, and no wider one than an operator can answer for. */ -}}

{{- /* The one spelling of an IPv6 address, or nothing if it is none (RFC 5952). */ -}}
{{- define "sallyport.ipv6" -}}
{{- $halves := splitList "::" . -}}
{{- $left := first $halves | splitList ":" | compact -}}
{{- $right := ternary (last $halves | splitList ":" | compact) list (gt (len $halves) 1) -}}
{{- $missing := int (sub 8 (add (len $left) (len $right))) -}}
{{- if or (and (eq (len $halves) 2) (gt $missing 0)) (and (eq (len $halves) 1) (eq $missing 0)) -}}
{{- $groups := list -}}
{{- range concat $left (until $missing) $right -}}
{{- $groups = append $groups (regexReplaceAll "^0+(.)" (ternary "0" (toString .) (kindIs "int" .)) "${1}") -}}
{{- end -}}
{{- $form := join ":" $groups -}}
{{- range list 8 7 6 5 4 3 2 -}}
{{- $zeros := printf "(^|:)0(:0){%d}($|:)" (sub . 1) -}}
{{- if and (not (contains "::" $form)) (regexMatch $zeros $form) -}}{{- $form = regexSplit $zeros $form 2 | join "::" -}}{{- end -}}
{{- end -}}
{{- $form -}}
{{- end -}}
{{- end -}}

{{- /* Not empty for a network with bits beyond its length. */ -}}
{{- define "sallyport.hostBits" -}}
{{- $bits := int (regexFind "[0-9]+$" .) -}}
{{- $address := regexFind "^[^/]*" . -}}
{{- $binary := "" -}}
{{- if contains ":" . -}}
{{- $halves := splitList "::" $address -}}
{{- $left := first $halves | splitList ":" | compact -}}
{{- $right := ternary (last $halves | splitList ":" | compact) list (gt (len $halves) 1) -}}
{{- range $left -}}{{- $binary = printf "%s%s" $binary (printf "0000%s" . | trunc -4) -}}{{- end -}}
{{- $binary = printf "%s%s" $binary (repeat (int (sub 32 (mul 4 (add (len $left) (len $right))))) "0") -}}
{{- range $right -}}{{- $binary = printf "%s%s" $binary (printf "0000%s" . | trunc -4) -}}{{- end -}}
{{- else -}}
{{- range splitList "." $address -}}{{- $binary = printf "%s%02x" $binary (int .) -}}{{- end -}}
{{- end -}}
{{- $rest := trunc (int (sub (div $bits 4) (len $binary))) $binary -}}
{{- $ends := index (list "" "[08]" "[048c]" "[02468ace]") (mod $bits 4) -}}
{{- if and (lt (div $bits 4) (len $binary)) (not (regexMatch (printf "^%s0*$" $ends) $rest)) -}}yes{{- end -}}
{{- end -}}

{{- /* What is wrong with a network in which a name may be found, or nothing. */ -}}
{{- define "sallyport.wrong.found" -}}
{{- $bits := int (regexFind "[0-9]+$" .) -}}
{{- if lt $bits 8 -}}
{{- printf "network %q is wider than /8: whoever answers for the name could lead the gate anywhere. Name where its addresses really lie." . -}}
{{- else if include "sallyport.nodesOwn" . -}}
{{- printf "network %q is link-local, loopback, multicast, a metadata service or IPv4 in disguise: nothing that a tool needs is there. Name where its addresses really lie." . -}}
{{- else -}}
{{- include "sallyport.wrong.spelling" . -}}
{{- end -}}
{{- end -}}

{{- define "sallyport.wrong.spelling" -}}
{{- $address := regexFind "^[^/]*" . -}}
{{- $form := ternary (include "sallyport.ipv6" $address) $address (contains ":" .) -}}
{{- if not $form -}}
{{- printf "network %q is none: it has too many or too few groups. Write it like fd00:10:96::/112." . -}}
{{- else if ne $form $address -}}
{{- printf "network %q is spelled otherwise than the gate compares it. Write %s/%s." . $form (regexFind "[0-9]+$" .) -}}
{{- else if include "sallyport.hostBits" . -}}
{{- printf "network %q has bits beyond its length, so one of the two is wrong. Write the network's first address, or a longer length." . -}}
{{- end -}}
{{- end -}}
