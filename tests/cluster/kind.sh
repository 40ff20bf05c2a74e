#!/usr/bin/env bash
# Makes the cluster of kind.yaml with Calico for both families, and a server outside of it. Prints what to put into the
# environment: eval "$(tests/cluster/kind.sh)". Needs docker, go, kubectl and kind. Ends with: kind delete cluster -n sallyport
set -euo pipefail
cd "$(dirname "$0")"
name=sallyport
# Calico 3.28.5, the version of which every test was seen; Go's checksum database holds its hash.
calico=github.com/projectcalico/calico@v1.11.0-cni-plugin.0.20250813170300-a0db560f0520
kubeconfig="${KUBECONFIG:-${TMPDIR:-/tmp}/sallyport-kind.kubeconfig}"
kubectl=(kubectl --kubeconfig "$kubeconfig")

manifests="$(cd / && go mod download -json "$calico" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')/manifests/calico.yaml"
kind get clusters -q | grep -qx "$name" || kind create cluster -q --name "$name" --config kind.yaml --kubeconfig "$kubeconfig" >&2
# As it comes, Calico gives pods no IPv6 address and lets all IPv6 be.
sed -e 's|"type": "calico-ipam"|&, "assign_ipv4": "true", "assign_ipv6": "true"|' \
    -e '/name: FELIX_IPV6SUPPORT/{n;s/"false"/"true"/}' \
    -e 's|^\( *\)- name: IP$|\1- {name: IP6, value: autodetect}\n\1- {name: CALICO_IPV6POOL_NAT_OUTGOING, value: "true"}\n&|' \
    "$manifests" | "${kubectl[@]}" apply --server-side -f - >&2
"${kubectl[@]}" -n kube-system rollout status daemonset/calico-node --timeout=300s >&2
"${kubectl[@]}" -n kube-system rollout status deployment/coredns --timeout=180s >&2

# Somebody whom every pod could reach, if no policy said otherwise.
docker rm -f sallyport-outside >/dev/null 2>&1 || true
docker run -q -d --name sallyport-outside --network kind python:3.13-slim-trixie \
  python -m http.server 9999 --bind :: --directory /tmp >&2
address() { docker inspect sallyport-outside -f "{{(index .NetworkSettings.Networks \"kind\").$1}}"; }
echo "export KUBECONFIG='$kubeconfig' OUTSIDE='$(address IPAddress):9999 [$(address GlobalIPv6Address)]:9999'"
