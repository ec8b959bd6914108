"""Ed25519 by Python's own OpenSSL: RFC 8032's vectors, and the same verdict as `cryptography`."""

from __future__ import annotations

import gc
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519 as reference
from cryptography.hazmat.primitives.asymmetric import rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from agent.commands import ed25519
from agent.commands.ed25519 import Library, OpenSsl, Package

OURS, THEIRS = OpenSsl(), Package()
ORDER = (1 << 252) + 27742317777372353535851937790883648493
LIBRARIES = pytest.mark.parametrize("of", [OURS, THEIRS], ids=["openssl", "package"])
PRIVATE = bytes(range(32))

# RFC 8032, 7.1: private key, public key, message, signature.
VECTORS = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b4"
        "6bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d"
        "8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6"
        "594a7c15e9716ed28dc027beceea1ec40a",
    ),
]


@LIBRARIES
@pytest.mark.parametrize("vector", VECTORS)
def test_the_vectors_of_the_standard(of: Library, vector: tuple[str, ...]) -> None:
    private, public, message, signature = map(bytes.fromhex, vector)
    assert of.public(private) == public
    assert of.sign(private, message) == signature
    assert of.verify(public, signature, message)
    assert not of.verify(public, signature, message + b"\0")


def test_this_python_needs_no_second_openssl() -> None:
    assert isinstance(ed25519.library(), OpenSsl)


@LIBRARIES
def test_each_flipped_bit(of: Library) -> None:
    public, message = of.public(PRIVATE), b"a message"
    signature = of.sign(PRIVATE, message)
    for at in range(512):
        bad = bytearray(signature)
        bad[at // 8] ^= 1 << at % 8
        assert not of.verify(public, bytes(bad), message)


@LIBRARIES
@pytest.mark.parametrize("add", [ORDER, 2 * ORDER])
def test_a_second_signature_cannot_be_made_of_one(of: Library, add: int) -> None:
    signature = of.sign(PRIVATE, b"m")
    scalar = int.from_bytes(signature[32:], "little") + add
    again = signature[:32] + scalar.to_bytes(32, "little")
    assert not of.verify(of.public(PRIVATE), again, b"m")


@LIBRARIES
@pytest.mark.parametrize("size", [0, 1, 31, 33, 64, 10_000])
def test_sizes_that_are_none(of: Library, size: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        of.sign(bytes(size), b"m")
    with pytest.raises(ValueError, match=r"."):
        of.verify(bytes(size), bytes(64), b"m")
    if size != 64:
        assert not of.verify(of.public(PRIVATE), bytes(size), b"m")


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=64, max_size=64), st.binary())
def test_any_bytes_have_one_verdict(public: bytes, signature: bytes, message: bytes) -> None:
    def verdict(of: Library) -> bool:
        try:
            return of.verify(public, signature, message)
        except ValueError:
            return False

    assert verdict(OURS) is verdict(THEIRS)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=500))
def test_what_one_signs_the_other_verifies(private: bytes, message: bytes) -> None:
    signature = OURS.sign(private, message)
    assert signature == THEIRS.sign(private, message)
    assert OURS.public(private) == THEIRS.public(private)
    assert THEIRS.verify(OURS.public(private), signature, message)
    assert ed25519.private_of_pem(ed25519.pem_of_private(private)) == private


def test_pem_is_that_of_others() -> None:
    key = reference.Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    assert ed25519.private_of_pem(pem) == key.private_bytes_raw()
    assert ed25519.pem_of_private(key.private_bytes_raw()) == pem
    assert ed25519.private_of_pem(pem.replace("\n", "\r\n")) == key.private_bytes_raw()


def other_keys() -> list[str]:
    plain = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    locked = BestAvailableEncryption(b"x")
    key = reference.Ed25519PrivateKey.generate()
    return [
        rsa.generate_private_key(65537, 1024).private_bytes(*plain).decode(),
        x25519.X25519PrivateKey.generate().private_bytes(*plain).decode(),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked).decode(),
        *("", "\0", "x" * 100_000, "-----BEGIN PRIVATE KEY-----\n\n-----END PRIVATE KEY-----"),
        "-----BEGIN PRIVATE KEY-----\nAAAA=AAA\n-----END PRIVATE KEY-----",
        ed25519.pem_of_private(bytes(31)),
    ]


@pytest.mark.parametrize("pem", other_keys())
def test_pem_that_is_none(pem: str) -> None:
    with pytest.raises(ValueError, match="private key"):
        ed25519.private_of_pem(pem)


def test_nothing_is_left_behind() -> None:
    """Keys and contexts are OpenSSL's memory: nobody else frees them."""
    public, signature = OURS.public(PRIVATE), OURS.sign(PRIVATE, b"m")
    before = 0
    for turn in range(3):
        for _ in range(4_000):
            assert OURS.verify(public, signature, b"m")
            assert not OURS.verify(public, signature, b"n")
            OURS.sign(PRIVATE, b"m")
        gc.collect()
        now = resident_kb()
        if turn:
            assert now - before < 500
        before = now


def resident_kb() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


def test_from_many_threads() -> None:
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda n: OURS.sign(PRIVATE, bytes([n])), range(200))
        for number, signature in enumerate(found):
            assert THEIRS.verify(OURS.public(PRIVATE), signature, bytes([number]))


def test_what_it_leaves_in_openssl_disturbs_nobody() -> None:
    """An error that stays in the thread's queue would be read as one of the next TLS call."""
    program = (
        "import ssl\n"
        "from agent.commands.ed25519 import OpenSsl\n"
        "of = OpenSsl()\n"
        "assert not of.verify(b'\\x02' * 32, bytes(64), b'm')\n"
        "peek = of._of.ERR_peek_error\n"
        "assert peek() == 0\n"
        "import sys; assert 'cryptography' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_an_error_of_openssl_is_no_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    """EVP_DigestVerify says 1, 0, or less than 0 where it could not tell."""
    of = OpenSsl()
    public, signature = of.public(PRIVATE), of.sign(PRIVATE, b"m")
    for said in (-2, -1, 0, 2):
        monkeypatch.setattr(of._of, "EVP_DigestVerify", lambda *_, said=said: said)
        assert not of.verify(public, signature, b"m")
