"""`brain config sample` and `schema`: what can be configured."""

from __future__ import annotations

from importlib.resources import files as package_files
from typing import Annotated

import msgspec
import typer

from agent import registry
from agent.cli import output
from agent.cli.exits import INVALID, OK, CliError
from agent.config import config_schema
from agent.config_problems import did_you_mean, expectation, toml_value


def sample(
    types: Annotated[
        list[str] | None, typer.Argument(metavar="[TYPE]...", help="Driver types.")
    ] = None,
    list_types: Annotated[bool, typer.Option("--list", help="List the driver types.")] = False,
) -> int:
    """A commented configuration with all defaults, or the sections of driver types."""
    if list_types:
        output.lines(registry.available())
    elif not types:
        output.write(package_files("config").joinpath("brain.toml").read_text())
    for type_name in types or ():
        output.write(_driver_sample(type_name))
    return OK


def schema() -> int:
    """JSON Schema of the configuration with the sections of all driver types, for editors."""
    whole = dict(config_schema())
    definitions = dict(whole.get("$defs", {}))
    sections = []
    for type_name in registry.available():
        try:
            model = registry.load(type_name).config_model
        except registry.BrokenPlugin as error:
            output.error(str(error))
            continue
        (node,), deeper = msgspec.json.schema_components((model,), ref_template="#/$defs/{name}")
        name = str(node["$ref"]).rpartition("/")[2]
        section = dict(deeper.pop(name))
        section["properties"] = {"type": {"const": type_name}, **section["properties"]}
        section["required"] = ["type", *section.get("required", [])]
        definitions[f"driver.{type_name}"] = section
        definitions.update(deeper)
        sections.append({"$ref": f"#/$defs/driver.{type_name}"})
    drivers = {"type": "object", "additionalProperties": {"oneOf": sections}}
    whole["properties"] = {**whole["properties"], "drivers": drivers}
    whole["$defs"] = definitions
    output.json_text({"$schema": "https://json-schema.org/draft/2020-12/schema", **whole})
    return OK


def _driver_sample(type_name: str) -> str:
    """The sample that the driver's package ships, else one made from its config model."""
    known = list(registry.available())
    if type_name not in known:
        hint = did_you_mean(type_name, known, "installed")
        raise CliError(f'unknown driver type "{type_name}", {hint}', INVALID)
    try:
        found = registry.load(type_name)
    except registry.BrokenPlugin as error:
        raise CliError(str(error), INVALID) from error
    package = found.__module__.rpartition(".")[0]
    if package and (shipped := package_files(package) / "sample.toml").is_file():
        return shipped.read_text()
    node = msgspec.json.schema(found.config_model)
    name = str(node["$ref"]).rpartition("/")[2]
    lines = [f"[drivers.{type_name}]", f'type = "{type_name}"']
    for key, about in node["$defs"][name]["properties"].items():
        lines.append(f"# {expectation(about)}")
        default = f"# {key} = {toml_value(about['default'])}" if "default" in about else ""
        lines.append(default or f'{key} = "..."')
    return "\n".join(lines) + "\n"
