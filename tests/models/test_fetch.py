"""Downloads: over https alone, bounded, whole or not at all."""

from __future__ import annotations

import http.server
import shutil
import ssl
import subprocess
import threading

import pytest

from edgeaudio.errors import InputError, UsageError
from edgeaudio.models.fetch import fetch

CONTENT = bytes(range(256)) * 4096


class Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.strip("/")
        if name == "moved":
            self.send_response(302)
            self.send_header("Location", "/whole")
        elif name == "insecure":
            self.send_response(302)
            self.send_header("Location", "http://localhost:9/whole")
        elif name in {"whole", "broken", "endless", "unannounced"}:
            self.send_response(200)
            if name != "unannounced":
                size = {"whole": len(CONTENT), "broken": len(CONTENT) + 1, "endless": 2**40}[name]
                self.send_header("Content-Length", str(size))
        else:
            self.send_error(404)
            return
        self.end_headers()
        if self.path not in {"/moved", "/insecure", "/endless"}:
            self.wfile.write(CONTENT)

    def log_message(self, *_):
        """Keep quiet."""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """An https server on this machine; its certificate is the only one that is trusted."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the server's certificate")
    folder = tmp_path_factory.mktemp("site")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = http.server.ThreadingHTTPServer(("localhost", 0), Pages)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(certificate))
        patch.setenv("no_proxy", "localhost")
        yield f"https://localhost:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("page", ["whole", "moved", "unannounced"])
def test_brings_the_file(site, page):
    assert fetch(f"{site}/{page}", max_bytes=len(CONTENT)) == CONTENT


def test_tells_how_far_it_is(site):
    told = []
    fetch(f"{site}/whole", max_bytes=2**21, report=lambda done, of: told.append((done, of)))
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert told == sorted(told)


@pytest.mark.parametrize(
    ("page", "why"),
    [
        ("nothing", "404"),
        ("insecure", "sends on to http://localhost:9/whole, which is not https"),
        ("broken", "broke off: 1048576 of 1048577 bytes came"),
        ("endless", "larger than the 1 MB"),
        ("unannounced", "larger than the 0 MB"),
    ],
)
def test_says_why_there_is_no_file(site, page, why):
    limit = len(CONTENT) - 1 if page == "unannounced" else 2**21 - 1
    with pytest.raises(InputError, match=why):
        fetch(f"{site}/{page}", max_bytes=limit)


def test_a_certificate_nobody_vouches_for(site, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(InputError, match="CERTIFICATE_VERIFY_FAILED"):
        fetch(f"{site}/whole", max_bytes=2**21)


def test_nobody_answers():
    with pytest.raises(InputError, match=r"cannot download https://localhost:9/x: .*[Rr]efused"):
        fetch("https://localhost:9/x", max_bytes=10)


@pytest.mark.parametrize(
    "url", ["http://localhost/x", "ftp://localhost/x", "file:///etc/passwd", "https:///x"]
)
def test_other_addresses(url):
    with pytest.raises(UsageError, match="not an https address"):
        fetch(url, max_bytes=10)


@pytest.mark.parametrize("url", ["https://localhost:port/x", "https://local host/x", "https://[::1/x"])
def test_addresses_that_are_none(url):
    with pytest.raises((InputError, UsageError)):
        fetch(url, max_bytes=10)
