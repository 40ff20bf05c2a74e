"""The configuration files as `init` writes them: every setting stated, each with a word on what it is for."""

from __future__ import annotations

from typing import Final

ISSUER: Final = "https://issuer.sallyport.test"
GATE: Final = (
    "https://gate.sallyport.test"  # what signs assertions: no token issuer, so that neither passes for the other
)
RESOURCE: Final = "https://localhost:8443/mcp"
MCP_PORT: Final = 8443
GATEWAY: Final = "spiffe://laptop.test/gateway"  # in pki/gateway: may ask over AuthZEN, once pdp.yaml says so

GITIGNORE: Final = """\
# This directory holds private keys: nothing of it belongs into a repository.
*
"""

PDP: Final = f"""\
# The policy decision point. Relative paths are relative to this file. An unknown key stops the start.
# `sallyport up` serves these ports on 127.0.0.1 alone, and other ones where they are taken.
listen: 127.0.0.1:7351        # gRPC, loopback only: the PDP never sees the network
health: 127.0.0.1:7352        # gRPC health checks
# metrics: 127.0.0.1:7353     # Prometheus, at /metrics; without this line it isn't served
policies: policies            # one flat directory: *.cedar, roles, agents, resources, catalog
hop_key: run/hop.key          # made anew at each start; seals every question and answer
# The PDP's own record of what it decides: `sallyport audit reconcile` holds it against the PEP's.
audit: {{directory: audit, signing_key: pki/audit/signing.key, masking_key: pki/audit/masking.key}}
reload:                       # a change of the policies comes into force by itself, if all of it is good
  poll_ms: 500                # between looks at the directory
  seconds: 60                 # the most that checking a set may take
  tests: ignore               # require: a set whose own tests (*.test.yaml) fail is refused
  operator_key: pki/operator.key   # for `sallyport policy reload DIR`; without this line nobody may ask
limits: {{deadline_ms: 500, concurrency: 1024, message_bytes: 1310720}}
telemetry: {{otlp_endpoint: ""}}   # empty: no traces leave this process
# Other gateways may ask over AuthZEN 1.0, each with a certificate and for what it is granted: docs/authzen.md.
# Its alice is the alice who owns alice's files. `init` made these certificates; the gateway's own is pki/gateway/tls.crt.
# authzen:
#   listen: 127.0.0.1:7354
#   url: https://localhost:7354
#   tls: {{certificate: pki/authzen/tls.crt, key: pki/authzen/tls.key, client_ca: pki/ca/ca.crt}}
#   clients:
#     - {{spiffe: "{GATEWAY}", issuer: gateway, orgs: [acme], agent: coding-bot, roles: {{everyone: [user]}}}}
"""

PEP: Final = f"""\
# The policy enforcement point: the MCP server. Relative paths are relative to this file.
# An unknown key stops the start.
# `sallyport up` serves these ports on 127.0.0.1 alone, and other ones where they are taken.
listen: 127.0.0.1:{MCP_PORT}
management: 127.0.0.1:8444    # readiness and metrics, never for clients
resource: {RESOURCE}   # who we are, whatever the port: the `aud` that a token must name
tls:
  certificate: pki/server/tls.crt
  key: pki/server/tls.key
  client_ca: pki/ca/ca.crt
  client_certificate: optional   # none | optional | required
  orchestrators: []              # peers that may forward identity, by {{spiffe: ...}} or {{dns: ...}}
pdp: {{address: 127.0.0.1:7351, hop_key: run/hop.key, deadline_ms: 500}}
policies: policies            # the PEP reads catalog.yaml there
issuers:                      # whose tokens are believed; empty would refuse everybody
  - name: laptop
    issuer: {ISSUER}
    jwks: pki/issuer/jwks.json
    algorithms: [ES256]
    orgs: [acme, globex]      # the only tenants this issuer may speak for
    roles:                    # what the claim says -> a role in policies/roles.yaml; others are dropped
      claim: roles
      map:
        {{guest: guest, readonly: readonly, user: user, developer: developer,
         senior-developer: senior-developer, admin: admin}}
    token_types: [at+jwt]
audit: {{directory: audit, signing_key: pki/audit/signing.key, masking_key: pki/audit/masking.key}}
files: {{root: files}}          # what the file tools see; without this line there are none
database: {{url: "sqlite:///data/sample.db"}}   # for the table tools; a server must stand in egress, too
eras: ["2026-07-28", "2025-11-25"]   # protocol revisions spoken
limits:
  {{body_bytes: 1048576, header_count: 64, header_bytes: 16384, json_depth: 64,
   receive_seconds: 10, connections: 512, handshake_seconds: 5}}
origins: []                   # browser origins allowed; none
telemetry: {{otlp_endpoint: ""}}
upstreams: upstreams          # a folder for each upstream: ca.crt, credential, tls.crt and tls.key, if it needs them
# Signed word of who calls, for upstreams whose entry says `assertion: true`; they check it by /.well-known/jwks.json.
assertion: {{key: pki/assertion/signing.key, issuer: {GATE}}}
egress: []                    # host:port of whatever the PEP may connect to besides the PDP; `catalog approve` adds to it
"""
