"""Replies: signed by a key that lasts, small, and verified by another library than signs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_rig import Vehicle
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from signing import CLIPS, OPS, VEHICLE

from agent.commands.replies import KEY_FILE, MAX_RESULT, TOKEN, Signer, fitting


def opened(token: str, public: str) -> dict[str, object]:
    key = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": public})
    found = jws.deserialize_compact(token, key, algorithms=["Ed25519"])
    assert found.headers() == {"alg": "Ed25519", "typ": "brain-reply+jws", "kid": VEHICLE}
    said: dict[str, object] = json.loads(found.payload)
    return said


def test_each_outcome_is_signed_and_names_its_command(tmp_path: Path) -> None:
    vehicle = Vehicle(tmp_path)
    vehicle.send(OPS.command())
    vehicle.send(CLIPS.command("touch"))
    vehicle.send(OPS.command(args={"n": "x"}))
    public = vehicle.signer.public
    said = [opened(str(record.values[TOKEN]), public) for record in vehicle.said]
    assert [(s["state"], s["code"]) for s in said] == [
        *(("done", ""), ("refused", "role"), ("refused", "arguments")),
    ]
    assert all(s["veh"] == VEHICLE and s["cid"] and s["ctr"] for s in said)
    vehicle.close()
    again = Vehicle(tmp_path)
    assert again.signer.public == public, "the key lasts"
    assert again.journal.untold() == []
    again.close()


def test_a_reply_that_did_not_reach_flash_is_said_again(tmp_path: Path) -> None:
    vehicle = Vehicle(tmp_path, on_flash=False)
    vehicle.send(OPS.command())
    vehicle.close()
    again = Vehicle(tmp_path)
    again.commander.recover()
    again.settle()
    one, two = vehicle.replies()[0], again.replies()[0]
    assert (one["cid"], one["state"], one["result"]) == (two["cid"], two["state"], two["result"])
    again.close()
    third = Vehicle(tmp_path)
    third.commander.recover()
    assert third.said == []
    third.close()


def test_another_key_does_not_open_it(tmp_path: Path) -> None:
    signer = Signer.of(VEHICLE, "", tmp_path)
    record = signer.record({"cid": "c"})
    with pytest.raises(JoseError):
        other = Signer.of(VEHICLE, "", _folder(tmp_path / "other"))
        opened(str(record.values[TOKEN]), other.public)
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("pem", ["", "no key", "-----BEGIN PRIVATE KEY-----\nAAAA\n"])
def test_a_key_that_is_none(pem: str) -> None:
    with pytest.raises(ValueError, match="Ed25519 private key in PEM"):
        Signer(VEHICLE, pem)


@given(
    st.dictionaries(
        st.text(max_size=9),
        st.one_of(st.floats(), st.text(max_size=9_000), st.binary()),
        max_size=4,
    )
)
def test_any_result_fits(result: dict[str, object]) -> None:
    assert len(json.dumps(fitting(result), separators=(",", ":"), allow_nan=False)) <= MAX_RESULT


def _folder(path: Path) -> Path:
    path.mkdir()
    return path
