"""Progress in lines, where standard error is no terminal."""

from __future__ import annotations

import pytest

from workbench.cli.progress import _lines


def test_a_long_stage_says_its_rate_and_the_time_left(capsys: pytest.CaptureFixture[str]):
    now = [0.0]
    with _lines(first=5.0, interval=30.0, clock=lambda: now[0]) as told:
        told("embed", 0, 0)
        for second in range(1, 61):
            now[0] = float(second)
            told("embed", 20 * second, 3600)
        told("score", 0, 0)
    # At 5, then 10, 20 and 30 seconds later; 20 a second, so 3,500 texts take 175 s.
    assert capsys.readouterr().err.splitlines() == [
        "    0.0 s  embed",
        "    5.0 s  embed 100 of 3,600, 20/s, 2:55 left",
        "   15.0 s  embed 300 of 3,600, 20/s, 2:45 left",
        "   35.0 s  embed 700 of 3,600, 20/s, 2:25 left",
        "   60.0 s  score",
        "   60.0 s  done",
    ]


def test_who_is_stopped_says_in_which_stage(capsys: pytest.CaptureFixture[str]):
    def stopped() -> None:
        with _lines(clock=lambda: 0.0) as told:
            told("read", 1, 2)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert capsys.readouterr().err.splitlines() == [
        "    0.0 s  read 1 of 2",
        "    0.0 s  stopped in read",
    ]
