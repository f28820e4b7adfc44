"""``python -m tests.campaign``."""

import sys

from tests.campaign.main import main

sys.exit(main())
