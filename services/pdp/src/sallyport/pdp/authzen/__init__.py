"""AuthZEN Authorization API 1.0, so that other gateways can ask this PDP. Searches aren't offered."""
