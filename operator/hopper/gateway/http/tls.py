"""The certificate of the gateway, which is read again when its files change."""

import asyncio.sslproto
import logging
import ssl
from pathlib import Path

logger = logging.getLogger(__name__)

_CHECKED_EVERY_SECONDS = 5.0

# asyncio reserves a buffer of this size for each TLS connection, by default 256 KiB. A TLS record has at most 16 KiB.
asyncio.sslproto.SSLProtocol.max_size = 65_536


class ServerCertificate:
    """Certificate chain and private key in PEM files. Raises `OSError` or `ValueError` if they cannot be used.

    `context` returns the TLS settings for a new connection. Open connections keep the certificate that they began with.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate = certificate
        self._key = key
        self._versions = self._read_versions()
        self._context = self._load()
        self._checked_at = float("-inf")

    def context(self) -> ssl.SSLContext:
        """Return the TLS settings with the newest certificate. Requires a running event loop."""
        now = asyncio.get_running_loop().time()
        if now - self._checked_at >= _CHECKED_EVERY_SECONDS:
            self._checked_at = now
            self._reload_if_changed()
        return self._context

    def _reload_if_changed(self) -> None:
        try:
            versions = self._read_versions()
            if versions == self._versions:
                return
            self._context = self._load()
        except (OSError, ValueError) as error:
            # Read again at the next check, because the files may be replaced one after the other.
            logger.error("cannot read the new certificate, so the old one stays in use: %s", error)
            return
        self._versions = versions
        logger.info("read the new certificate %s", self._certificate)

    def _read_versions(self) -> tuple[tuple[int, int, int], ...]:
        files = [path.stat() for path in (self._certificate, self._key)]
        return tuple((file.st_ino, file.st_size, file.st_mtime_ns) for file in files)

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            # Without a password, OpenSSL would ask for one on the terminal.
            context.load_cert_chain(self._certificate, self._key, password="")
        except ssl.SSLError as error:
            raise ValueError(
                f"{self._certificate} and {self._key} are not a PEM certificate and its unencrypted private key: "
                f"{error.reason or error}"
            ) from None
        return context
