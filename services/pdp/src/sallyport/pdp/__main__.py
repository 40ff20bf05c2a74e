"""`python -m sallyport.pdp --config pdp.yaml`: one process, ended by SIGTERM or SIGINT."""

from __future__ import annotations

from sallyport.runtime import early

if __name__ == "__main__":
    early.end_when_asked()
    from sallyport.pdp import command  # most of the start is this, and a signal must be heard in it

    raise SystemExit(command.main())
