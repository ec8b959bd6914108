"""`brain audit`: the equation, from the running agent or from its outbox."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from agent.cli import output
from agent.cli.client import Control, NotRunning
from agent.cli.exits import DEGRADED, OK, CliError
from agent.cli.options import AsJson, ConfigFile, RunDir, StateDir
from agent.cli.places import Places, places_of
from agent.cli.words import count
from agent.config_files import DEFAULT_FILE

_TERMS = ("accepted", "acknowledged", "queued", "dropped")


def audit(
    config: ConfigFile = DEFAULT_FILE,
    run_dir: RunDir = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> int:
    """Do the books balance? accepted = acknowledged + queued + dropped. Exit code 0 or 1."""
    books = ask_or_read(places_of(config, run_dir, state_dir), state_dir)
    if as_json:
        output.json_text(books)
    else:
        output.lines(report(books))
    return OK if sound(books) else DEGRADED


def ask_or_read(where: Places, stated: Path | None) -> Mapping[str, Any]:
    """What the coordinator says; where none runs, what its outbox says. Raises NotRunning.

    `stated` is the directory that an option named: another one's outbox is no answer then.
    """
    try:
        if stated is not None and not owns(where):
            raise NotRunning(f"no brain in {where.run_dir} has its outbox in {where.state_dir}")
        answer: Mapping[str, Any] = Control(where.run_dir).ask("audit")
        return answer
    except NotRunning as error:
        if not (where.state_dir / "outbox.db").exists():
            raise NotRunning(f"{error}; there is no outbox in {where.state_dir} either") from error
        return read(where.state_dir)


def owns(where: Places) -> bool:
    """Whether the coordinator in this run directory has that outbox open. Raises NotRunning."""
    directory = Control(where.run_dir).ask("status")["outbox"].get("directory")
    return directory is None or Path(directory).absolute() == where.state_dir.absolute()


def read(state_dir: Path) -> Mapping[str, Any]:
    """The books of an outbox that nobody has open, or of one in use: reading disturbs nobody."""
    from agent.store.reader import OutboxReader

    with reading(state_dir), closing(OutboxReader(state_dir)) as reader:
        return reader.summary()


@contextmanager
def reading(directory: Path) -> Iterator[None]:
    """What goes wrong when an outbox is read is one line."""
    from agent.store.reader import READ_ERRORS
    from agent.store.rows import OutboxTooNew

    try:
        yield
    except (*READ_ERRORS, OutboxTooNew) as error:
        text = f"the outbox in {directory} cannot be read: {error}"
        raise CliError(f"{text}; brain run repairs it at its next start", DEGRADED) from error


def sound(books: Mapping[str, Any]) -> bool:
    """The equation holds and no number is missing."""
    return bool(books.get("balanced")) and not books.get("gaps")


def report(books: Mapping[str, Any]) -> list[str]:
    """The equation in one line, classes and drops below where there is something to tell."""
    accepted, acknowledged, queued, dropped = (count(books[term]) for term in _TERMS)
    sign = "=" if books.get("balanced") else "IS NOT"
    shown = [
        f"accepted {accepted} {sign} acknowledged {acknowledged} + queued {queued} + "
        f"dropped {dropped} ; gaps {count(books.get('gaps') or 0)} ; "
        f"duplicates sent {count(books.get('duplicates_sent') or 0)} (by number, stored once)"
    ]
    classes: Mapping[str, Mapping[str, int]] = books.get("by_class", {})
    rows = [
        [name, *(count(c.get(t, 0)) for t in _TERMS)]
        for name, c in classes.items()
        if any(c.values())
    ]
    if rows:
        shown += ["", *output.table(["class", *_TERMS], rows)]
    drops = books.get("drops") or []
    if drops:
        rows = [
            [
                d["class"],
                d["reason"],
                count(d["count"]),
                f"{d['first']}..{d['last']}",
                d["epoch"][:8],
            ]
            for d in drops
        ]
        shown += ["", *output.table(["dropped", "reason", "records", "numbers", "epoch"], rows)]
    return shown
