"""In the final image's own Python: precompile.py OUT NAME… writes the bytecode of all that these packages import.

A root that can't be written never gets bytecode by itself, and each start would compile anew.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import py_compile
import sys
from importlib.util import cache_from_source
from pathlib import Path
from types import ModuleType

out, epoch = Path(sys.argv[1]), int(os.environ["SOURCE_DATE_EPOCH"])


def load(name: str) -> None:
    """With all modules below: what a function imports only later counts, too."""
    module = importlib.import_module(name)
    for below in pkgutil.walk_packages(getattr(module, "__path__", ()), f"{name}.", onerror=refuse):
        importlib.import_module(below.name)


def refuse(name: str) -> None:
    raise ImportError(f"{name} can't be imported in the image")


def compiled(module: ModuleType) -> None:
    """By the hash of the source, which nobody looks at again: the image is as it is."""
    source = getattr(module, "__file__", None) or ""
    if source.endswith(".py") and source.startswith(("/usr/lib/", "/app/")):
        layer = out / ("own" if "/sallyport/" in source else "packages")
        target = layer / cache_from_source(source).removeprefix("/")
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        py_compile.compile(source, str(target), source, doraise=True, invalidation_mode=mode)


for given in sys.argv[2:]:
    load(given)
for loaded in list(sys.modules.values()):
    compiled(loaded)
for path in [*out.rglob("*"), out]:
    os.utime(path, (epoch, epoch))
