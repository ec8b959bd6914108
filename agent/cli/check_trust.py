"""What `brain check` looks at beyond the form: certificates, and operations that roles name.

A vehicle starts and records all the same with these: its disk may have damaged a certificate, and
its configuration may be one for a newer version.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator

from agent.config_commands import OPERATIONS
from agent.config_files import Tree
from agent.config_problems import Problem, did_you_mean, toml_value
from agent.config_text import KeyPath


def trust_problems(tree: Tree) -> list[Problem]:
    """What would keep the uplink from being trusted, or a role from having what it names."""
    return [*_authorities(tree), *_certificate(tree), *_operations(tree)]


def _authorities(tree: Tree) -> Iterator[Problem]:
    for key in ("ca_file", "files_ca_file"):
        path: KeyPath = ("uplink", key)
        if file := _file(tree, path):
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
            except ssl.SSLError:
                text = f"{file}: expected certificates of authorities in PEM"
                fix = "a PEM file begins with -----BEGIN CERTIFICATE-----; take that of the broker"
                yield tree.problem(path, text, fix)
            except OSError:
                continue  # Said already, in the words of files.


def _certificate(tree: Tree) -> Iterator[Problem]:
    cert, key = (_file(tree, ("uplink", name)) for name in ("cert_file", "key_file"))
    if not cert or not key:
        return
    try:
        # Without a password: nobody could type it on a vehicle.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert, key, password="")
    except ssl.SSLError as error:
        why = (error.reason or "no PEM").replace("_", " ").lower()
        text = f"{cert}, {key}: expected a certificate in PEM and its key, not encrypted ({why})"
        fix = "both come from the authority of the broker: renew cert_file and key_file together"
        yield tree.problem(("uplink", "cert_file"), text, fix)
    except OSError:
        return


def _operations(tree: Tree) -> Iterator[Problem]:
    roles = tree.get(("commands", "roles"))
    for role, names in roles.items() if isinstance(roles, dict) else ():
        for name in names if isinstance(names, list) else ():
            if name not in OPERATIONS and isinstance(name, str):
                text = f"got {toml_value(name)}, expected operations of this version"
                fix = did_you_mean(name, OPERATIONS, "there are")
                yield tree.problem(("commands", "roles", role), text, fix)


def _file(tree: Tree, path: KeyPath) -> str:
    value = tree.get(path)
    return value if isinstance(value, str) else ""
