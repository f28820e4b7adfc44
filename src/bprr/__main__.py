"""``python -m bprr``."""

import gc

# What is imported stays: a command of two seconds would look through it a dozen times, a fifth of
# the time that importing takes.
gc.set_threshold(100_000)

from bprr.commands.main import main  # noqa: E402

raise SystemExit(main())
