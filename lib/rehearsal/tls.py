"""The certificate authority of one rehearsal: it vouches for whatever name a client asks for."""

import ssl
from functools import cache

import trustme


class Authority:
    """A new authority; `bundle` is what a client has to trust, in PEM."""

    def __init__(self) -> None:
        self._authority = trustme.CA(organization_name="Rehearsal account")
        self.bundle = self._authority.cert_pem.bytes().decode()
        self._named = cache(self._context)
        self.context = self._named("s3.amazonaws.com")  # for a client that names nobody
        self.context.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        if name:
            connection.context = self._named(name)

    def _context(self, name: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(name).configure_cert(context)
        return context
