"""Pod Security `restricted`, written after https://kubernetes.io/docs/concepts/security/pod-security-standards, rule by rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

Spec = dict[str, Any]
_VOLUMES: Final = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
_SELINUX: Final = {None, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
_SYSCTLS: Final = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
}


def violations(spec: Spec) -> list[str]:
    """Why an API server that enforces `restricted` would refuse this pod; empty if it wouldn't."""
    found = [text for rule in _POD for text in rule(spec)]
    for container in _containers(spec):
        found += [f"{container['name']}: {text}" for rule in _CONTAINER for text in rule(container, spec)]
    return found


def _containers(spec: Spec) -> list[Spec]:
    return [each for kind in ("initContainers", "containers", "ephemeralContainers") for each in spec.get(kind, [])]


def _security(holder: Spec) -> Spec:
    return holder.get("securityContext") or {}


def _host_namespaces(spec: Spec) -> Iterator[str]:
    yield from (f"{key} is on" for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key))


def _volumes(spec: Spec) -> Iterator[str]:
    for volume in spec.get("volumes", []):
        yield from (f"volume {volume['name']} is a {kind}" for kind in volume.keys() - {"name"} - _VOLUMES)


def _sysctls(spec: Spec) -> Iterator[str]:
    names = (each["name"] for each in _security(spec).get("sysctls", []))
    yield from (f"sysctl {name}" for name in names if name not in _SYSCTLS)


def _pod_wide(spec: Spec) -> Iterator[str]:
    yield from _context(_security(spec))


def _context(security: Spec) -> Iterator[str]:
    """What may stand neither in a pod's nor in a container's securityContext."""
    if (security.get("windowsOptions") or {}).get("hostProcess"):
        yield "hostProcess"
    if security.get("runAsUser") == 0:
        yield "runs as root"
    if (security.get("appArmorProfile") or {}).get("type", "RuntimeDefault") not in {"RuntimeDefault", "Localhost"}:
        yield "AppArmor is off"
    selinux = security.get("seLinuxOptions") or {}
    if selinux.get("type") not in _SELINUX or selinux.get("user") or selinux.get("role"):
        yield "SELinux options"
    if security.get("procMount", "Default") != "Default":
        yield "procMount"


def _container_wide(container: Spec, _spec: Spec) -> Iterator[str]:
    yield from _context(_security(container))


def _privileges(container: Spec, _spec: Spec) -> Iterator[str]:
    if _security(container).get("privileged"):
        yield "privileged"
    if _security(container).get("allowPrivilegeEscalation") is not False:
        yield "privilege escalation isn't forbidden"


def _capabilities(container: Spec, _spec: Spec) -> Iterator[str]:
    capabilities = _security(container).get("capabilities") or {}
    if "ALL" not in capabilities.get("drop", []):
        yield "doesn't drop ALL capabilities"
    yield from (f"adds {name}" for name in capabilities.get("add", []) if name != "NET_BIND_SERVICE")


def _non_root(container: Spec, spec: Spec) -> Iterator[str]:
    if _security(container).get("runAsNonRoot", _security(spec).get("runAsNonRoot")) is not True:
        yield "runAsNonRoot isn't true"


def _seccomp(container: Spec, spec: Spec) -> Iterator[str]:
    profile = _security(container).get("seccompProfile") or _security(spec).get("seccompProfile") or {}
    if profile.get("type") not in {"RuntimeDefault", "Localhost"}:
        yield "no seccomp profile"


def _host_ports(container: Spec, _spec: Spec) -> Iterator[str]:
    yield from ("a host port" for port in container.get("ports", []) if port.get("hostPort"))


def _host_probes(container: Spec, _spec: Spec) -> Iterator[str]:
    hooks = [container.get(f"{kind}Probe") for kind in ("startup", "liveness", "readiness")]
    hooks += (container.get("lifecycle") or {}).values()
    actions = [hook.get(kind) for hook in hooks if hook for kind in ("httpGet", "tcpSocket")]
    yield from ("a probe of another host" for action in actions if action and action.get("host"))


_POD: Final[tuple[Callable[[Spec], Iterator[str]], ...]] = (_host_namespaces, _volumes, _sysctls, _pod_wide)
_CONTAINER: Final[tuple[Callable[[Spec, Spec], Iterator[str]], ...]] = (
    _container_wide,
    _privileges,
    _capabilities,
    _non_root,
    _seccomp,
    _host_ports,
    _host_probes,
)
