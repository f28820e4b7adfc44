"""Where the shipped configuration and data lie: in a checkout, or inside the installed package."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["DEFAULT", "SHIPPED"]

_PACKAGE = Path(__file__).parents[1]
_CHECKOUT = _PACKAGE.parents[1]
_ROOT = _CHECKOUT if (_CHECKOUT / "config/default.yaml").exists() else _PACKAGE / "shipped"

# As a user in the checkout would write it.
SHIPPED = Path(os.path.relpath(_ROOT)) if _ROOT.is_relative_to(Path.cwd()) else _ROOT
DEFAULT = SHIPPED / "config/default.yaml"
