"""``python -m edgeaudio``: the same as the command ``edgeaudio``."""

import sys

from edgeaudio.cli.main import main

sys.exit(main())
