"""``python -m bprr``."""

from bprr.commands.main import main

raise SystemExit(main())
