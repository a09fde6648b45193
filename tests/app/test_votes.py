"""Who counts and who trains, and guessed chains: the choices that a log is read with."""

from __future__ import annotations

import polars as pl
from app_pages import OpenApp
from logs import rows
from samples_of import SAMPLES
from streamlit.testing.v1 import AppTest

from workbench.workspace.artefacts import Artefacts

FOUR = {"g": {f"t{n}": [("door", "go", float(n == 0))] for n in range(4)}}
BARE = SAMPLES / "verl-agent-bare"


def stopped() -> pl.DataFrame:
    """Four rollouts: one ends by itself, two at a limit, one that the log masks."""
    return rows(FOUR).with_columns(
        finish_reason=pl.Series(["stop", "length", "length", "stop"]),
        mask_reason=pl.Series([None, None, None, "mask_sample"]),
    )


def choice(test: AppTest, label: str):
    (found,) = [widget for widget in (*test.multiselect, *test.checkbox) if label in widget.label]
    return found


def details(test: AppTest) -> str:
    return test.text[0].value


def read_again(test: AppTest) -> AppTest:
    (button,) = [button for button in test.button if "Read the log again" in button.label]
    return button.click().run()


def test_rollouts_that_stopped_for_a_reason_are_left_untrained(app: OpenApp):
    test = app(stopped())
    picker = choice(test, "do not train")
    assert picker.options == ["length (2 rollouts)", "stop (2 rollouts)"]
    picker.select("length")
    test = read_again(test)
    assert not test.exception
    assert "was read again" in test.success[0].value
    # The masked one does neither; the two cut ones count, but are not trained.
    assert "1 not counted in their group, 3 not trained" in details(test)
    assert choice(test, "do not train").value == ["length"]
    commands = [code.value for code in test.code if code.language == "bash"]
    assert "--untrained finish_reason=length" in commands[0]
    assert len(test.selectbox(key="w_frame_log").options) == 2


def test_masked_rollouts_are_kept_on_request(app: OpenApp):
    test = app(stopped())
    assert "1 not counted in their group, 1 not trained" in details(test)
    choice(test, "the log masks").check()
    test = read_again(test)
    assert "not counted" not in details(test)
    commands = [code.value for code in test.code if code.language == "bash"]
    assert "--keep-masked" in commands[0]
    assert choice(test, "1 rollout that the log masks").value is True


def test_a_log_without_reasons_and_masks_has_no_such_choice(app: OpenApp):
    assert not [e for e in app().expander if "Who counts" in e.label]


def test_rewards_that_were_given_are_given_again(app: OpenApp, tmp_path):
    stopped().drop("reward").write_parquet(tmp_path / "bare.parquet")
    table = tmp_path / "rewards.csv"
    table.write_text("trajectory_id,reward\nt0,1\nt1,0\nt2,0\nt3,0\n")
    work = tmp_path / "work"
    Artefacts(work).log([tmp_path / "bare.parquet"], rewards=table)
    test = app(path=work)
    choice(test, "the log masks").check()
    test = read_again(test)
    assert not test.exception
    assert "was read again" in test.success[0].value
    assert r"25\.0 % succeed" in test.markdown[0].value
    commands = [code.value for code in test.code if code.language == "bash"]
    assert f"--keep-masked --rewards {table}" in commands[0]


def test_a_log_whose_file_is_gone_is_shown_as_it_was(app: OpenApp, tmp_path):
    test = app(stopped())
    (tmp_path / "given.parquet").unlink()
    test = read_again(test)
    assert not test.exception
    assert "cannot be read again" in test.error[0].value
    assert test.title[0].value == r"given\.parquet"


def test_a_guessed_order_is_refused_until_it_is_taken(app: OpenApp, tmp_path):
    test = app(path=BARE, page="methods", query={"methods": "gigpo,proxmo"})
    assert "gigpo" in test.error[0].value
    assert "The source does not say which steps follow each other" in test.sidebar.warning[0].value
    test.sidebar.checkbox[0].check().run()
    assert not test.exception
    assert not test.error
    assert test.query_params["log"].endswith("-unchained")
    commands = [code.value for code in test.code if code.language == "bash"]
    assert "--allow-unchained" in commands[0]
    assert len(test.selectbox(key="w_frame_log").options) == 1
    # An address that takes the guess opens so; unticking goes back to the refusal.
    test.sidebar.checkbox[0].uncheck().run()
    assert "gigpo" in test.error[0].value


def test_how_far_files_may_unpack_is_asked_only_where_paths_are(app: OpenApp):
    assert not app().number_input
    test = app(arguments=("--allow-path-input",))
    assert "unpack" in test.number_input[0].label
