"""MTProto 2.0, server side: abridged TCP framing, authorization key exchange, message encryption.

Sources: core.telegram.org/mtproto/mtproto-transports, .../auth_key, .../description. The TL classes and AES-IGE are
the client library's own, so the layer is always that of the installed distribution. The RSA key is a public test
key: its private half is right here and protects nothing.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from hashlib import sha1, sha256
from io import BytesIO
from typing import Any, Final

from pyrogram import raw
from pyrogram.crypto import aes, rsa
from pyrogram.crypto.prime import CURRENT_DH_PRIME as DH_PRIME
from pyrogram.raw.core import Int, Long, Message, MsgContainer, TLObject

_P: Final = int(
    "c92c41d9304330c72b35699a4dbc2a75019aeb80c257ebee8e9c00a00d424c9d1867e49a57dbd07fa2e9d20d8eeee049bfc3cde52a1679d5"
    "80a48d9c4a416f12fafa5565bd93ab1cd9ad5cab3a30b8e09ef8d39c9465fbfc0f0feeaef42c4e06b9fbd81fdaf73ff5fd19ada472bdecfa"
    "f5fe06b6e3c0e72fbff966de1079de23",
    16,
)
_Q: Final = int(
    "d98ebd80ebc8c7f98961c43e811d51e6b33ea2240fd842c72ce9ec2be697f552ac94af2d6e4b13df7dcb8a99ca1703937300cbbb74baa080"
    "4ae3ef07d119e828f2d9e23c49b7547dd09b58975a039d92def959b956881c15f838d5ac1c5415e76353a900aca14f4f74d7e45f45204155"
    "ce8334d1ff62e7bdbddbd7a1b4e4c955",
    16,
)
_N: Final = _P * _Q
_E: Final = 65537
_D: Final = pow(_E, -1, (_P - 1) * (_Q - 1))
_PQ: Final = 0x494C553B * 0x53911073
_FOUR_BYTES: Final = 4
_SHORT_PACKET: Final = 127


def _tl_bytes(value: bytes) -> bytes:
    head = bytes([len(value)]) if len(value) < 254 else b"\xfe" + len(value).to_bytes(3, "little")
    return head + value + bytes(-(len(head) + len(value)) % _FOUR_BYTES)


def _fingerprint() -> int:
    digest = sha1(_tl_bytes(_N.to_bytes(256, "big")) + _tl_bytes(b"\1\0\1")).digest()
    return int.from_bytes(digest[-8:], "little", signed=True)


FINGERPRINT: Final = _fingerprint()


def trust_only_this_server() -> Callable[[], None]:
    """Make the client library accept this server's key and no other; returns what undoes it."""
    genuine = dict(rsa.server_public_keys)
    rsa.server_public_keys.clear()
    rsa.server_public_keys[FINGERPRINT] = rsa.PublicKey(_N, _E)

    def restore() -> None:
        rsa.server_public_keys.clear()
        rsa.server_public_keys.update(genuine)

    return restore


class Abridged:
    """One client connection in the abridged transport: packets in, packets out."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def handshake(self) -> None:
        """Read the byte that names the transport."""
        if await self._reader.readexactly(1) != b"\xef":
            raise ConnectionError("only the abridged transport is spoken here")

    async def receive(self) -> bytes:
        """The next packet; raises IncompleteReadError at the end."""
        words = (await self._reader.readexactly(1))[0]
        if words == _SHORT_PACKET:
            words = int.from_bytes(await self._reader.readexactly(3), "little")
        return await self._reader.readexactly(words * _FOUR_BYTES)

    async def send(self, packet: bytes) -> None:
        """Write a packet, whose length is a multiple of four."""
        words = len(packet) // _FOUR_BYTES
        head = bytes([words]) if words < _SHORT_PACKET else b"\x7f" + words.to_bytes(3, "little")
        self._writer.write(head + packet)
        await self._writer.drain()

    def cut(self) -> None:
        """Close at once, as a network loss does."""
        self._writer.transport.abort()


class KeyExchange:
    """The server's three answers of core.telegram.org/mtproto/auth_key; `auth_key` is set after the last."""

    def __init__(self) -> None:
        self.auth_key = b""
        self._nonce = 0
        self._server_nonce = int.from_bytes(os.urandom(16), "little", signed=True)
        self._new_nonce = b""
        self._aes = (b"", b"")
        self._secret = int.from_bytes(os.urandom(256), "big")

    def answer(self, packet: bytes) -> bytes:
        """The packet that answers an unencrypted one."""
        request = TLObject.read(BytesIO(packet[20:]))
        step = {"ReqPqMulti": self._req_pq, "ReqDHParams": self._req_dh, "SetClientDHParams": self._set_dh}
        body: bytes = step[request.QUALNAME.rsplit(".", 1)[1]](request).write()
        return bytes(8) + bytes(Long(server_message_id())) + bytes(Int(len(body))) + body

    def _req_pq(self, request: Any) -> Any:
        self._nonce = request.nonce
        return raw.types.ResPQ(
            nonce=request.nonce,
            server_nonce=self._server_nonce,
            pq=_PQ.to_bytes(8, "big"),
            server_public_key_fingerprints=[FINGERPRINT],
        )

    def _req_dh(self, request: Any) -> Any:
        plain = pow(int.from_bytes(request.encrypted_data, "big"), _D, _N).to_bytes(255, "big")
        inner: Any = TLObject.read(BytesIO(plain[20:]))
        if plain[:20] != sha1(inner.write()).digest() or inner.server_nonce != self._server_nonce:
            raise ConnectionError("the client's key exchange is wrong")
        self._new_nonce = inner.new_nonce.to_bytes(32, "little", signed=True)
        server = self._server_nonce.to_bytes(16, "little", signed=True)
        new = self._new_nonce
        self._aes = (
            sha1(new + server).digest() + sha1(server + new).digest()[:12],
            sha1(server + new).digest()[12:] + sha1(new + new).digest() + new[:4],
        )
        data = raw.types.ServerDHInnerData(
            nonce=self._nonce,
            server_nonce=self._server_nonce,
            g=3,
            dh_prime=DH_PRIME.to_bytes(256, "big"),
            g_a=pow(3, self._secret, DH_PRIME).to_bytes(256, "big"),
            server_time=int(time.time()),
        ).write()
        answer = sha1(data).digest() + data
        answer += os.urandom(-len(answer) % 16)
        return raw.types.ServerDHParamsOk(
            nonce=self._nonce,
            server_nonce=self._server_nonce,
            encrypted_answer=aes.ige256_encrypt(answer, *self._aes),
        )

    def _set_dh(self, request: Any) -> Any:
        plain = aes.ige256_decrypt(request.encrypted_data, *self._aes)
        inner: Any = TLObject.read(BytesIO(plain[20:]))
        key = pow(int.from_bytes(inner.g_b, "big"), self._secret, DH_PRIME).to_bytes(256, "big")
        digest = sha1(self._new_nonce + b"\1" + sha1(key).digest()[:8]).digest()[4:20]
        self.auth_key = key
        return raw.types.DhGenOk(
            nonce=self._nonce,
            server_nonce=self._server_nonce,
            new_nonce_hash1=int.from_bytes(digest, "little", signed=True),
        )


_last_message_id = 0


def server_message_id(*, response: bool = True) -> int:
    """A growing message id: unix time * 2**32, modulo 4 is 1 for answers and 3 for pushed messages."""
    global _last_message_id
    value = (int(time.time() * 2**32) & ~3) | (1 if response else 3)
    while value <= _last_message_id:
        value += 4
    _last_message_id = value
    return value


def key_id(auth_key: bytes) -> bytes:
    """The eight bytes that name a key in a packet."""
    return sha1(auth_key).digest()[-8:]


def _keys(auth_key: bytes, message_key: bytes, x: int) -> tuple[bytes, bytes]:
    a = sha256(message_key + auth_key[x : x + 36]).digest()
    b = sha256(auth_key[x + 40 : x + 76] + message_key).digest()
    return a[:8] + b[8:24] + a[24:32], b[:8] + a[8:24] + b[24:32]


def decrypt(packet: bytes, auth_key: bytes) -> tuple[int, list[Any]]:
    """The session id and the messages of a packet; raises ConnectionError when its message key is wrong."""
    message_key = packet[8:24]
    plain = aes.ige256_decrypt(packet[24:], *_keys(auth_key, message_key, 0))
    if sha256(auth_key[88:120] + plain).digest()[8:24] != message_key:
        raise ConnectionError("wrong message key")
    message: Any = Message.read(BytesIO(plain[16:]))
    body = message.body
    return int.from_bytes(plain[8:16], "little"), body.messages if isinstance(body, MsgContainer) else [message]


def encrypt(body: Any, *, session_id: int, seq_no: int, auth_key: bytes, response: bool) -> bytes:
    """The packet that carries one TL object to the client."""
    data: bytes = body.write()
    plain: bytes = (
        bytes(8)
        + session_id.to_bytes(8, "little")
        + bytes(Long(server_message_id(response=response)))
        + bytes(Int(seq_no))
        + bytes(Int(len(data)))
        + data
    )
    plain += os.urandom(-(len(plain) + 12) % 16 + 12)
    message_key = sha256(auth_key[96:128] + plain).digest()[8:24]
    encrypted: bytes = aes.ige256_encrypt(plain, *_keys(auth_key, message_key, 8))
    return key_id(auth_key) + message_key + encrypted
