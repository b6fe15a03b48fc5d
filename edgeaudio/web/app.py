"""Requests: the page and its files, downloads, and the two websockets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from importlib import resources
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import parse_qs

from edgeaudio.web.access import Access, Refusal
from edgeaudio.web.inputs import Inputs
from edgeaudio.web.microphone import listen
from edgeaudio.web.viewer import Hub, watch

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.websockets import WebSocket

__all__ = ["build_app"]

_Scope: TypeAlias = MutableMapping[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_App: TypeAlias = Callable[[_Scope, _Receive, _Send], Awaitable[None]]

_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_PAGE = "index.html"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def build_app(access: Access, hub: Hub, inputs: Inputs | None, *, max_viewers: int) -> _App:
    """Return the ASGI application; needs starlette."""
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import BaseRoute, Route, WebSocketRoute

    files = _read_files()

    async def file(request: Request) -> Response:
        body, kind = files[request.url.path.strip("/") or _PAGE]
        return Response(body, media_type=kind)

    async def download(request: Request) -> Response:
        suffix = request.url.path.rpartition(".")[2]
        text, kind = {
            "srt": (hub.board.srt, "application/x-subrip"),
            "vtt": (hub.board.vtt, "text/vtt"),
            "txt": (hub.board.text, "text/plain"),
        }[suffix]
        attached = {"Content-Disposition": f'attachment; filename="captions.{suffix}"'}
        return Response(text(), media_type=f"{kind}; charset=utf-8", headers=attached)

    async def live(socket: WebSocket) -> None:
        if hub.n_viewers >= max_viewers:
            await socket.send_denial_response(Response("Too many viewers.", 503))
            return
        await socket.accept()
        await watch(socket, hub, inputs)

    async def microphone(socket: WebSocket) -> None:
        if inputs is None:
            await socket.send_denial_response(Response("This server takes no audio.", 404))
            return
        await socket.accept()
        await listen(socket, inputs)

    routes: list[BaseRoute] = [Route(f"/{name}", file) for name in files if name != _PAGE]
    routes += [Route("/", file), WebSocketRoute("/live", live), WebSocketRoute("/microphone", microphone)]
    routes += [Route(f"/captions.{suffix}", download) for suffix in ("srt", "vtt", "txt")]
    return _Guard(Starlette(routes=routes), access, frozenset(f"/{name}" for name in files))


class _Guard:
    """Lets in whom `access` allows, and gives every answer its security headers.

    The page's own scripts and styles hold no secret and need no token: a script tag cannot show one.
    """

    def __init__(self, app: Any, access: Access, public: frozenset[str]) -> None:
        self._app = app
        self._access = access
        self._public = public

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if scope["type"] == "http":

            async def send_with_headers(message: MutableMapping[str, Any]) -> None:
                if message["type"] == "http.response.start":
                    message["headers"] = [*message.get("headers", []), *_encoded(_HEADERS)]
                await send(message)

            if refusal is None:
                await self._app(scope, receive, send_with_headers)
            else:
                await _refuse("http", refusal, send_with_headers)
        elif refusal is None:
            await self._app(scope, receive, send)
        else:
            await receive()
            await _refuse("websocket.http", refusal, send)

    def _refusal(self, scope: _Scope, headers: Mapping[str, str]) -> Refusal | None:
        try:
            query = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=16)
        except ValueError:
            return Refusal(400, "Too many parameters.")
        tokens = query.get("token")
        refusal = self._access.refusal(headers, tokens[0] if tokens else None)
        if refusal is not None and refusal.status == 401 and scope["path"] in self._public:
            return None
        return refusal


async def _refuse(kind: str, refusal: Refusal, send: _Send) -> None:
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    if refusal.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    await send({"type": f"{kind}.response.start", "status": refusal.status, "headers": _encoded(headers)})
    await send({"type": f"{kind}.response.body", "body": f"{refusal.reason}\n".encode()})


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


def _read_files() -> dict[str, tuple[bytes, str]]:
    """Return content and type of each of the page's files, by name."""
    folder = resources.files("edgeaudio.web") / "static"
    return {
        item.name: (item.read_bytes(), _TYPES[f".{item.name.rpartition('.')[2]}"])
        for item in folder.iterdir()
        if item.is_file()
    }
