"""The policy decision point."""

import os

# Before gRPC is loaded: it would write lines of its own into our log whenever the checker's process is started.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
