"""The formats of vector files: one module each, which registers its record. A new format is a module here."""

from __future__ import annotations

import importlib
import pkgutil

for _module in sorted(one.name for one in pkgutil.iter_modules(__path__)):
    importlib.import_module(f"{__name__}.{_module}")
