"""The page: captions in a browser, for many viewers at once, and a browser's microphone as the input.

`server` is the sink that a program uses; `board` keeps what viewers should see, `viewer` brings it to one of
them, `microphone` takes a browser's audio, `inputs` decides who is listened to, `access` who may do anything
at all, `app` routes requests, `tap` watches the engine's frames. Starlette and uvicorn are imported when the
server starts.
"""

from __future__ import annotations

from edgeaudio.web.server import CaptionServer
from edgeaudio.web.tap import FrameTap

__all__ = ["CaptionServer", "FrameTap"]
