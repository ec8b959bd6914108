"""TLS to the broker: whom to trust, who we are, and at what time certificates are judged.

There is no way round the checks: chain, host name and validity are always judged. Only the time may
be another one than the system's, where a better one is known: a box with a flat battery starts in
1970, when no certificate is valid, and GNSS knows better.
"""

from __future__ import annotations

import _ssl
import ctypes
import ssl
import sys
from datetime import UTC, datetime

from agent.uplink.refused import Refused, Why
from agent.uplink.settings import UplinkConfig

# x509_vfy.h
NOT_YET_VALID, EXPIRED = 9, 10

_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNEXPECTED_MESSAGE", "RECORD_LAYER_FAILURE")
"""OpenSSL's reasons where what came is no TLS at all."""


def context(config: UplinkConfig, at_utc_ms: int | None) -> ssl.SSLContext:
    """What a connection is made with; certificates are judged at `at_utc_ms`, None: now.

    All files are read, so a renewed certificate is used. Raises Refused.
    """
    try:
        made = ssl.create_default_context(cafile=config.ca_file or None)
    except OSError as e:
        raise Refused(
            f"uplink.ca_file: {config.ca_file}: {e.strerror or e}; "
            "a readable file with CA certificates in PEM is expected",
            why=Why.UNTRUSTED,
        ) from e
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    protocol = config.broker_takes.alpn.get(config.port)
    if protocol is not None:
        made.set_alpn_protocols([protocol])
    if config.cert_file:
        try:
            made.load_cert_chain(config.cert_file, config.key_file or None)
        except OSError as e:
            raise Refused(
                f"uplink.cert_file, uplink.key_file: {config.cert_file}, "
                f"{config.key_file or 'no key'}: {e.strerror or e}; a readable certificate "
                "and its key in PEM are expected",
                why=Why.UNTRUSTED,
            ) from e
    if at_utc_ms is not None:
        judge_at(made, at_utc_ms // 1000)
    return made


def judge_at(made: ssl.SSLContext, utc_s: int) -> bool:
    """Let OpenSSL judge certificates at `utc_s`; False where this Python gives no way to say so.

    Python's ssl does not offer X509_VERIFY_PARAM_set_time(3), so OpenSSL itself is asked, through
    the SSL_CTX that CPython keeps as the first field of a context. False means that the system's
    clock judges: then nothing is trusted that should not be, and the clock has to be set.
    """
    if sys.implementation.name != "cpython":
        return False
    try:
        openssl = ctypes.CDLL(getattr(_ssl, "__file__", None))
        options = openssl.SSL_CTX_get_options
        param_of = openssl.SSL_CTX_get0_param
        set_time, get_time = openssl.X509_VERIFY_PARAM_set_time, openssl.X509_VERIFY_PARAM_get_time
    except (OSError, AttributeError):
        return False
    options.argtypes, options.restype = [ctypes.c_void_p], ctypes.c_uint64
    param_of.argtypes, param_of.restype = [ctypes.c_void_p], ctypes.c_void_p
    set_time.argtypes, set_time.restype = [ctypes.c_void_p, ctypes.c_long], None
    get_time.argtypes, get_time.restype = [ctypes.c_void_p], ctypes.c_long
    pointer = ctypes.c_void_p.from_address(id(made) + object.__basicsize__).value
    # What OpenSSL says of it must be what Python says of it, else it is not what we believe.
    if not pointer or options(pointer) != int(made.options):
        return False
    param = param_of(pointer)
    set_time(param, utc_s)
    return bool(get_time(param) == utc_s)


def explain(error: ssl.SSLError, where: str, at_utc_ms: int | None) -> Refused:
    """Why no TLS connection came about."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _untrusted(error, where, at_utc_ms)
    reason = error.reason or str(error)
    if "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
        return Refused(
            f"{where} does not accept the certificate of this vehicle ({_words(reason)}): "
            "renew uplink.cert_file, or let the broker trust its authority",
            why=Why.UNTRUSTED,
        )
    if reason in (
        "WRONG_VERSION_NUMBER",
        "HTTP_REQUEST",
        "UNEXPECTED_MESSAGE",
        "RECORD_LAYER_FAILURE",
    ):
        return Refused(
            f"{where} answers, but not in TLS: a captive portal stands between, or uplink.port or "
            "uplink.tls are wrong",
            why=Why.UNTRUSTED,
        )
    return Refused(
        f"TLS with {where} failed: {_words(reason)}; check uplink.tls and port", why=Why.UNTRUSTED
    )


def _untrusted(error: ssl.SSLCertVerificationError, where: str, at_utc_ms: int | None) -> Refused:
    judged = (
        datetime.now(UTC) if at_utc_ms is None else datetime.fromtimestamp(at_utc_ms / 1e3, UTC)
    )
    at = judged.strftime("%Y-%m-%d %H:%M UTC")
    if error.verify_code == NOT_YET_VALID:
        return Refused(
            f"{where}: its certificate is not valid yet at {at}, the time that this box knows: set "
            "its clock; with a GNSS fix it connects by itself",
            why=Why.CLOCK,
        )
    if error.verify_code == EXPIRED:
        return Refused(
            f"{where}: its certificate has expired by {at}, the time that this box knows: renew "
            "the broker's certificate, or set the clock of this box",
            why=Why.UNTRUSTED,
        )
    return Refused(
        f"{where} is not trusted: {error.verify_message}; "
        "check uplink.ca_file and the name in uplink.broker",
        why=Why.UNTRUSTED,
    )


def _words(reason: str) -> str:
    return reason.replace("_", " ").lower()
