"""``python -m bprr``."""

from bprr.cli import main

raise SystemExit(main())
