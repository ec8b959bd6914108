"""Who asks for a reload hears of the one that began after he asked, once."""

from __future__ import annotations

from collections.abc import Sequence

from agent.told import Told

Heard = list[tuple[list[str], list[str]]]


def test_an_answer_is_to_those_who_asked_before_the_files_were_read() -> None:
    told = Told()
    early: Heard = []
    late: Heard = []

    def listen(heard: Heard) -> None:
        def answered(problems: Sequence[str], waiting: Sequence[str]) -> None:
            heard.append((list(problems), list(waiting)))

        told.reload(answered)

    assert not told.to_reload()
    listen(early)
    assert told.to_reload()
    listen(late)
    told.answer(["a"], ["b"])
    assert early == [(["a"], ["b"])] and late == []
    assert told.to_reload(), "there is one more to come"
    told.answer([], [])
    assert late == [([], [])] and len(early) == 1
    assert not told.to_reload()
