"""Long work of the app: kept once it is done, stopped and taken up again."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest


def script() -> None:
    import time

    import streamlit as st

    from workbench.ui import state, work

    def make(progress):
        for done in range(3):
            progress("part", done, 3)
            time.sleep(0.01)
        st.session_state["made"] = st.session_state.get("made", 0) + 1
        return "the result"

    if st.query_params.get("stopped"):
        st.session_state.setdefault(state.STOPPED, {"stopped"})
    found = work.long(
        "stopped" if "stopped" in st.query_params else "long", "Making it", st.container(), make
    )
    st.markdown(f"found {found}")


def test_stopped_work_is_said_and_taken_up_again_and_its_result_is_kept():
    test = AppTest.from_function(script)
    test.query_params["stopped"] = "1"
    test.run()
    assert [text.value for text in test.markdown] == ["Making it: stopped.", "found None"]
    (go_on,) = test.button
    go_on.click().run()
    assert test.markdown[-1].value == "found the result"
    assert not test.button
    test.run()
    assert test.session_state["made"] == 1


def test_work_that_takes_its_time_has_a_bar_and_a_button(monkeypatch):
    from workbench.ui import work

    monkeypatch.setattr(work, "_UNSEEN", 0.0)
    monkeypatch.setattr(work, "_OFTEN", 0.0)
    drawn = []
    bar = work._Bar.__call__

    def watched(self, stage, done, total):
        bar(self, stage, done, total)
        drawn.append(self._bar is not None)

    monkeypatch.setattr(work._Bar, "__call__", watched)
    test = AppTest.from_function(script)
    test.run()
    assert not test.exception
    assert drawn == [True, True, True]
    assert not test.button  # it is gone once the work is done
