"""Signatures on hosted packages: one key of our own for each format, made when it is first needed."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from reliquary.catalog.engine import Catalog
from reliquary.catalog.keys import KeyRow
from reliquary.formats.verbs import PublicKey


class Signing:
    """Signs with ECDSA on P-256 and SHA-256, with keys that the catalog holds for all processes."""

    def __init__(self, catalog: Catalog, now: Callable[[], datetime]) -> None:
        self._catalog = catalog
        self._now = now
        self._keys: dict[str, tuple[PublicKey, ec.EllipticCurvePrivateKey]] = {}

    async def sign(self, purpose: str, data: bytes) -> tuple[str, str]:
        """Sign for a purpose, which names the key: the key's id, and the signature (DER) in base64."""
        public, private = await self._key(purpose)
        made = await asyncio.to_thread(private.sign, data, ec.ECDSA(hashes.SHA256()))
        return public.id, base64.b64encode(made).decode()

    async def keys(self, purpose: str) -> Sequence[PublicKey]:
        """The keys that signatures for a purpose are checked with, the newest first."""
        await self._key(purpose)
        rows = [row for row in await self._catalog.keys.all() if _purpose(row) == purpose]
        newest = sorted(rows, key=lambda row: row.created, reverse=True)
        return [PublicKey(_id(row.public), row.public, row.expires) for row in newest]

    async def _key(self, purpose: str) -> tuple[PublicKey, ec.EllipticCurvePrivateKey]:
        """The key that signs now; of two processes that make one at once, both take the first."""
        if purpose not in self._keys:
            row = await self._newest(purpose)
            if row is None:
                await self._catalog.keys.add(await asyncio.to_thread(_make, purpose, self._now()))
                row = await self._newest(purpose)
            if row is None:
                raise RuntimeError("a key that was just written is not there")
            private = serialization.load_pem_private_key(row.private.encode(), None)
            if not isinstance(private, ec.EllipticCurvePrivateKey):
                raise TypeError(f"the signing key {row.name} is of another kind")
            self._keys[purpose] = (PublicKey(_id(row.public), row.public), private)
        return self._keys[purpose]

    async def _newest(self, purpose: str) -> KeyRow | None:
        rows = [row for row in await self._catalog.keys.all() if _purpose(row) == purpose and row.expires is None]
        return max(rows, key=lambda row: row.created, default=None)


def _purpose(row: KeyRow) -> str:
    """``npm`` of the key named ``npm``, and of ``npm/2`` that came after it."""
    return row.name.partition("/")[0]


def _make(purpose: str, now: datetime) -> KeyRow:
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    der = private.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return KeyRow(purpose, pem.decode(), base64.b64encode(der).decode(), now, None)


def _id(public: str) -> str:
    digest = hashlib.sha256(base64.b64decode(public)).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
