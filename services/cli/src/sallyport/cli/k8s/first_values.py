"""values.yaml for a first try: the chart's own keys, filled with what `dev-certs` made."""

from __future__ import annotations

from sallyport.cli.configs import ISSUER
from sallyport.cli.k8s.dev_keys import Files
from sallyport.cli.k8s.names import Names


def encode(names: Names, files: Files) -> bytes:
    jwks = files["issuer/jwks.json"].decode().strip().replace("\n", "\n        ")
    name = names.fullname
    return f"""\
# A first try with development keys, made by `sallyport k8s dev-certs`: helm install -f. Never for production.
profile: trial
replicas: 1                  # the file tools' folder is empty and each pod's own: two would show two folders

orchestrators:
  - name: orchestrator
    spiffe: {names.orchestrator_id}
    from:
      namespace: {names.orchestrator_namespace}
      podLabels: {{app.kubernetes.io/name: orchestrator}}

tls:
  secret: {name}-tls
  clientCaSecret: {name}-client-ca

issuers:
  - name: dev
    issuer: {ISSUER}
    jwks:
      inline: |
        {jwks}
    algorithms: [ES256]
    orgs: [acme, globex]
    roles:
      claim: roles
      map: {{guest: guest, readonly: readonly, user: user, developer: developer,
            senior-developer: senior-developer, admin: admin}}

audit:
  pepKeySecret: {name}-audit-pep
  pdpKeySecret: {name}-audit-pdp
  persistence: {{enabled: false}}

policies:
  operatorKeySecret: {name}-operator

monitoring:
  prometheus:
    spiffe: {names.prometheus_id}
    from: {{namespace: monitoring, podLabels: {{app.kubernetes.io/name: prometheus}}}}
    clientSecret: {name}-metrics-client

tests:
  orchestratorSecret: {name}-orchestrator
  tokenSecret: {name}-test-token
""".encode()
