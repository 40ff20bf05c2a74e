"""The Secrets of a first try, as `kubectl apply -f` takes them."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml

from sallyport.cli.k8s.dev_keys import TOKEN, Files
from sallyport.cli.k8s.names import Names

_Manifest = Mapping[str, Any]
_TLS: Final = "kubernetes.io/tls"
_OPAQUE: Final = "Opaque"
_LABELS: Final = {"app.kubernetes.io/part-of": "sallyport", "sallyport.io/keys": "development"}
_HEAD: Final = """\
# Development keys, made by `sallyport k8s dev-certs`: for a first try, never for production.
# It holds private keys: don't commit it. Apply it with: kubectl apply --server-side -f manifests.yaml
"""


def encode(names: Names, files: Files, *, namespaces: bool) -> bytes:
    documents = [*(_namespaces(names) if namespaces else ()), *_secrets(names, files)]
    return (_HEAD + yaml.safe_dump_all(documents, sort_keys=False, explicit_start=True)).encode()


def _namespaces(names: Names) -> Iterator[_Manifest]:
    for name in dict.fromkeys((names.namespace, names.orchestrator_namespace)):
        yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _secrets(names: Names, files: Files) -> Iterator[_Manifest]:
    here, there = names.namespace, names.orchestrator_namespace
    ca = files["ca/ca.crt"]
    masking = files["masking.key"]

    def pair(holder: str) -> Files:
        return {"tls.crt": files[f"{holder}/tls.crt"], "tls.key": files[f"{holder}/tls.key"]}

    def signer(service: str) -> Files:
        return {"signing.key": files[f"audit-{service}/signing.key"], "masking.key": masking}

    yield _secret(names, here, "tls", _TLS, pair("server"))
    yield _secret(names, here, "client-ca", _OPAQUE, {"ca.crt": ca})
    yield _secret(names, here, "audit-pep", _OPAQUE, signer("pep"))
    yield _secret(names, here, "audit-pdp", _OPAQUE, signer("pdp"))
    yield _secret(names, here, "operator", _OPAQUE, {"operator.key": files["operator.key"]})
    yield _secret(names, here, "metrics-client", _TLS, {**pair("prometheus"), "ca.crt": ca})
    yield _secret(names, there, "orchestrator", _TLS, {**pair("orchestrator"), "ca.crt": ca})
    yield _secret(names, there, "test-token", _OPAQUE, {"token": files[TOKEN].strip()})


def _secret(names: Names, namespace: str, suffix: str, kind: str, data: Files) -> _Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"{names.fullname}-{suffix}", "namespace": namespace, "labels": dict(_LABELS)},
        "type": kind,
        "data": {name: base64.b64encode(value).decode() for name, value in data.items()},
    }
