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
    (found,) = [text.value for text in test.text if "Mixed outcomes" in text.value]
    return found


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


def test_a_log_without_reasons_and_masks_has_the_choice_of_rewards_alone(app: OpenApp):
    test = app()
    (area,) = [e for e in test.expander if "Rewards" in e.label]
    assert not area.proto.expanded
    assert not test.multiselect
    assert not [box for box in test.checkbox if "masks" in box.label]


def test_rewards_are_given_to_a_log_that_has_none(app: OpenApp):
    unrewarded = rows(FOUR).with_columns(reward=pl.lit(None, dtype=pl.Float64))
    test = app(unrewarded)
    (area,) = [e for e in test.expander if "Rewards" in e.label]
    assert area.proto.expanded
    assert "No step has a reward" in area.warning[0].value
    rewards = "trajectory_id,reward\n" + "\n".join(f"t{n},{int(n == 0)}" for n in range(4))
    area.file_uploader[0].upload("rewards.csv", rewards.encode())
    test = read_again(test)
    assert not test.exception
    assert not test.error
    assert any("1 group is live" in m.value.replace("\\", "") for m in test.markdown)
    (area,) = [e for e in test.expander if "Rewards" in e.label]
    assert "another file takes its place" in area.caption[0].value


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
    assert any(r"25\.0 % succeed" in element.value for element in test.markdown)
    commands = [code.value for code in test.code if code.language == "bash"]
    assert f"--keep-masked --rewards {table}" in commands[0]


def test_a_log_whose_file_is_gone_is_shown_as_it_was(app: OpenApp, tmp_path):
    test = app(stopped())
    (tmp_path / "given.parquet").unlink()
    test = read_again(test)
    assert not test.exception
    assert "cannot be read again" in test.error[0].value
    assert test.subheader[0].value == r"given\.parquet"


def test_a_guessed_order_is_refused_until_it_is_taken(app: OpenApp, tmp_path):
    test = app(path=BARE, page="compare", query={"methods": "gigpo,proxmo"})
    assert "gigpo" in test.error[0].value
    assert "The source does not say which steps follow each other" in test.warning[0].value
    test.checkbox(key="w_frame_guessed_chains").check().run()
    assert not test.exception
    assert not test.error
    assert test.query_params["log"].endswith("-unchained")
    commands = [code.value for code in test.code if code.language == "bash"]
    assert "--allow-unchained" in commands[0]
    assert len(test.selectbox(key="w_frame_log").options) == 1
    # An address that takes the guess opens so; unticking goes back to the refusal.
    test.checkbox(key="w_frame_guessed_chains").uncheck().run()
    assert "gigpo" in test.error[0].value


def test_how_far_files_may_unpack_is_asked_only_where_paths_are(app: OpenApp):
    assert not app().number_input
    test = app(arguments=("--allow-path-input",))
    assert "unpack" in test.number_input[0].label
