"""Where the shipped configuration and data lie: in a checkout, or inside the installed package."""

from __future__ import annotations

from pathlib import Path

__all__ = ["DEFAULT", "SHIPPED", "here_or_shipped"]

_PACKAGE = Path(__file__).parents[1]
_CHECKOUT = _PACKAGE.parents[1]
_IN_CHECKOUT = (_CHECKOUT / "config/default.yaml").exists()

SHIPPED = _CHECKOUT if _IN_CHECKOUT else _PACKAGE / "shipped"
DEFAULT = SHIPPED / "config/default.yaml"


def here_or_shipped(path: Path) -> Path:
    """A file that settings name: from here, or else what is shipped under that name."""
    shipped = SHIPPED / path
    return shipped if not path.exists() and shipped.is_file() else path
