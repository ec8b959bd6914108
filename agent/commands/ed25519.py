"""Ed25519 (RFC 8032) by the OpenSSL that Python itself is linked with.

It is in memory anyway, for TLS; the package `cryptography` brings another OpenSSL and 10 MB. It is
used where Python's own hides its functions, as builds with a static OpenSSL do.
"""

from __future__ import annotations

import base64
import ctypes
import re
from ctypes import c_char_p, c_int, c_size_t, c_void_p
from functools import cache
from typing import Protocol

KEY_BYTES, SIGNATURE_BYTES = 32, 64
_NID = 1087  # EVP_PKEY_ED25519
_PKCS8 = bytes.fromhex("302e020100300506032b657004220420")
"""RFC 8410: a private key begins so, and 32 bytes follow."""
_PEM = re.compile(
    r"-----BEGIN PRIVATE KEY-----\s+([A-Za-z0-9+/=\s]+?)\s*-----END PRIVATE KEY-----", re.ASCII
)


class Library(Protocol):
    """What signs and verifies. Keys have 32 bytes, signatures 64; ValueError where not."""

    def public(self, private: bytes) -> bytes: ...
    def sign(self, private: bytes, message: bytes) -> bytes: ...
    def verify(self, public: bytes, signature: bytes, message: bytes) -> bool: ...


@cache
def library() -> Library:
    """The one of this process."""
    try:
        return OpenSsl()
    except (ImportError, OSError, AttributeError):
        return Package()


class OpenSsl:
    """Functions of libcrypto, see EVP_PKEY_new_raw_public_key(3) and EVP_DigestVerify(3)."""

    def __init__(self) -> None:
        """Raises ImportError, OSError or AttributeError where they cannot be had."""
        import _hashlib

        # Linked with libcrypto: what that exports is found through it, whatever it is called.
        of = ctypes.CDLL(_hashlib.__file__)
        pointer, size = c_void_p, c_size_t
        self._of = of
        for name, result, arguments in (
            ("EVP_PKEY_new_raw_public_key", pointer, (c_int, pointer, c_char_p, size)),
            ("EVP_PKEY_new_raw_private_key", pointer, (c_int, pointer, c_char_p, size)),
            ("EVP_PKEY_get_raw_public_key", c_int, (pointer, c_char_p, ctypes.POINTER(size))),
            ("EVP_PKEY_free", None, (pointer,)),
            ("EVP_MD_CTX_new", pointer, ()),
            ("EVP_MD_CTX_free", None, (pointer,)),
            ("EVP_DigestSignInit", c_int, (pointer,) * 5),
            ("EVP_DigestSign", c_int, (pointer, c_char_p, ctypes.POINTER(size), c_char_p, size)),
            ("EVP_DigestVerifyInit", c_int, (pointer,) * 5),
            ("EVP_DigestVerify", c_int, (pointer, c_char_p, size, c_char_p, size)),
            ("ERR_clear_error", None, ()),
        ):
            function = getattr(of, name)
            function.restype, function.argtypes = result, arguments

    def public(self, private: bytes) -> bytes:
        """The public key of a private one."""
        found, size = ctypes.create_string_buffer(KEY_BYTES), c_size_t(KEY_BYTES)
        key = self._key(self._of.EVP_PKEY_new_raw_private_key, private)
        try:
            done = self._of.EVP_PKEY_get_raw_public_key(key, found, ctypes.byref(size))
        finally:
            self._of.EVP_PKEY_free(key)
        if done != 1 or size.value != KEY_BYTES:
            raise ValueError("OpenSSL gives no public key")
        return found.raw

    def sign(self, private: bytes, message: bytes) -> bytes:
        """The signature of a message."""
        of = self._of
        found, size = ctypes.create_string_buffer(SIGNATURE_BYTES), c_size_t(SIGNATURE_BYTES)
        key, context = self._key(of.EVP_PKEY_new_raw_private_key, private), of.EVP_MD_CTX_new()
        try:
            done = bool(context) and of.EVP_DigestSignInit(context, None, None, None, key) == 1
            sized = ctypes.byref(size)
            done = done and of.EVP_DigestSign(context, found, sized, message, len(message)) == 1
        finally:
            self._end(key, context)
        if not done or size.value != SIGNATURE_BYTES:
            raise ValueError("OpenSSL does not sign")
        return found.raw

    def verify(self, public: bytes, signature: bytes, message: bytes) -> bool:
        """Whether the owner of a key signed a message."""
        if len(signature) != SIGNATURE_BYTES:
            return False
        of = self._of
        key, context = self._key(of.EVP_PKEY_new_raw_public_key, public), of.EVP_MD_CTX_new()
        try:
            if not context or of.EVP_DigestVerifyInit(context, None, None, None, key) != 1:
                return False
            # 1 alone is a yes: 0 is a no, and less than that an error.
            said = of.EVP_DigestVerify(context, signature, len(signature), message, len(message))
            return bool(said == 1)
        finally:
            self._end(key, context)

    def _key(self, make: object, raw: bytes) -> int:
        if len(raw) != KEY_BYTES:
            raise ValueError(f"a key of Ed25519 has {KEY_BYTES} bytes, not {len(raw)}")
        assert callable(make)
        key = make(_NID, None, raw, len(raw))
        if not key:
            self._of.ERR_clear_error()
            raise ValueError("OpenSSL does not take the key")
        return int(key)

    def _end(self, key: int, context: int | None) -> None:
        if context:
            self._of.EVP_MD_CTX_free(context)
        self._of.EVP_PKEY_free(key)
        # Errors stay in the thread's queue, where the next user of OpenSSL would find them.
        self._of.ERR_clear_error()


class Package:
    """The same by the package `cryptography`."""

    def public(self, private: bytes) -> bytes:
        """The public key of a private one."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()

    def sign(self, private: bytes, message: bytes) -> bytes:
        """The signature of a message."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(private).sign(message)

    def verify(self, public: bytes, signature: bytes, message: bytes) -> bool:
        """Whether the owner of a key signed a message."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
        except InvalidSignature:
            return False
        return True


def private_of_pem(pem: str) -> bytes:
    """The 32 bytes of a private key as `openssl genpkey` writes it. Raises ValueError."""
    found = _PEM.fullmatch(pem.strip())
    try:
        der = base64.b64decode("".join(found[1].split()), validate=True) if found else b""
    except ValueError:
        der = b""
    if len(der) != len(_PKCS8) + KEY_BYTES or not der.startswith(_PKCS8):
        raise ValueError("expected an Ed25519 private key in PEM, not encrypted")
    return der[len(_PKCS8) :]


def pem_of_private(private: bytes) -> str:
    """A private key as PEM (PKCS #8)."""
    text = base64.b64encode(_PKCS8 + private).decode()
    return f"-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n"
