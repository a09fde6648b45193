"""Journey 7: give me the batch."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import logs
import polars as pl
import pytest
from app_pages import OpenApp, bundled, component
from streamlit.runtime.media_file_manager import MediaFileManager
from streamlit.testing.v1 import AppTest

from workbench.exporters import Manifest, read_batch, read_manifest
from workbench.ui import state

NASTY = "<script>alert(1)</script> **bold** $x^2$ :material/home: [a](http://b)"
SMALL: logs.Described = {
    "g0": {"g0/a": [("s", "go", 0.0), ("t", "look", 1.0)], "g0/b": [("s", "stay", 0.0)]},
    "g1": {"g1/a": [("s", "go", 1.0)], "g1/b": [("v", "go", 1.0)]},
}


def key(option: str) -> str:
    return state.EXPORT.format(option=option)


def opened(app: OpenApp, frame: pl.DataFrame | None = None, **query: str) -> AppTest:
    test = app(frame, page="export", query=query)
    assert not test.exception
    return test


def exporting(**chosen: Any) -> dict[str, Any]:
    return {"export": json.dumps(chosen)}


def said(test: AppTest) -> str:
    shown = (*test.markdown, *test.caption, *test.info, *test.error, *test.success)
    return " ".join(element.value for element in shown)


def checks(test: AppTest) -> dict[str, tuple[str, str]]:
    """Check -> verdict and what was found."""
    rows = test.table[0].value.values.tolist()
    plain = {check: found.replace("\\", "") for check, found in rows}
    return {check: tuple(found.split(": ", 1)) for check, found in plain.items()}


def counts(test: AppTest) -> list[tuple[str, int, int]]:
    (found,) = (t.value for t in test.dataframe if "what" in t.value.columns)
    return [tuple(row) for row in found.values.tolist()]


def manifest(test: AppTest) -> Manifest:
    (text,) = (code.value for code in test.code if code.value.startswith("{"))
    return Manifest.from_json(text)


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], bytes]]:
    """Contents that a page's download buttons would send, the last one last."""
    found: list[Callable[[], bytes]] = []
    add = MediaFileManager.add_deferred

    def remember(self: MediaFileManager, data: Callable[[], bytes], *rest: Any, **more: Any) -> str:
        found.append(data)
        return add(self, data, *rest, **more)

    monkeypatch.setattr(MediaFileManager, "add_deferred", remember)
    return found


def unpacked(content: bytes, folder: Path) -> Path:
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        packed.extractall(folder)
    return folder / "batch"


def run(line: str, folder: Path) -> None:
    """Runs a command that the app shows."""
    for command in line.replace("\n", " ").split("&&"):
        program, *arguments = shlex.split(command)
        assert program == "workbench"
        script = "from workbench.cli import main; main()"
        subprocess.run([sys.executable, "-c", script, *arguments], cwd=folder, check=True)


@pytest.mark.parametrize(
    ("chosen", "filter"),
    [
        ({}, ""),
        ({"method": "gigpo:verl-agent", "options": {"unit": "step", "drop_zero_groups": True}}, ""),
        ({}, 'outcome:failed |grpo|>1 "go to"'),
    ],
    ids=["defaults", "chosen", "filtered"],
)
def test_the_download_is_what_the_command_writes(
    app: OpenApp,
    downloads: list[Callable[[], bytes]],
    tmp_path: Path,
    chosen: dict[str, Any],
    filter: str,
):
    test = opened(
        app, **exporting(**chosen), filter=filter, fields='{"proxmo": {"temperature": 0.2}}'
    )
    batch = unpacked(downloads[-1](), tmp_path)
    by_command = tmp_path / "cli"
    by_command.mkdir()
    run(test.code[0].value, by_command)
    assert read_batch(batch).equals(read_batch(by_command / "batch"))
    assert read_manifest(batch) == read_manifest(by_command / "batch")
    assert read_manifest(batch) == manifest(test)


def test_size_counts_and_checks_stand_before_anything_is_written(app: OpenApp):
    test = opened(app)
    size = sum(file["bytes"] for file in manifest(test).files.values())
    # The manifest itself is some kB more.
    (line,) = (m.value for m in test.markdown if "rows" in m.value)
    shown = float(line.split("**")[1].split(" ")[0])
    assert 0 < shown - size / 1000 < 10
    assert "160 rows" in line
    assert counts(test) == [("in the log", 160, 3732), ("in the batch", 160, 3732)]
    assert checks(test)["Alignment"][0] == "✓ fine"
    assert checks(test)["Zero groups"] == (
        "! look",
        "4 groups cost compute for no pull; they can be left out",
    )
    assert checks(test)["Staleness"][0] == "○ n/a"


def test_the_method_is_the_last_of_the_view_with_its_applied_fields(app: OpenApp):
    test = opened(app, fields='{"proxmo": {"temperature": 0.2}}')
    assert test.selectbox(key=key("method")).value == "proxmo"
    assert "proxmo with temperature 0\\.2" in said(test)
    assert manifest(test).method["fields"]["temperature"] == 0.2
    assert opened(app, methods="grpo,rloo").selectbox(key=key("method")).value == "rloo"


def test_leaving_out_zero_groups_is_counted_and_kept_in_the_link(app: OpenApp):
    test = opened(app)
    test.checkbox(key=key("option_drop_zero_groups")).check().run()
    rows = counts(test)
    assert [row[0] for row in rows] == ["in the log", "− zero groups", "in the batch"]
    assert rows[0][2] == rows[1][2] + rows[2][2]
    assert "-p drop_zero_groups=true" in test.code[0].value
    assert test.session_state[state.VIEW].export == {"options": {"drop_zero_groups": True}}


def test_options_are_widgets_with_their_choices(app: OpenApp):
    test = opened(app)
    unit = test.selectbox(key=key("option_unit"))
    assert unit.options == ["automatic", "trajectory", "step"]
    unit.select("step").run()
    assert manifest(test).unit == "step"
    assert manifest(test).counts["rows"] == 3732
    test.selectbox(key=key("option_weight")).select("inverse_length").run()
    assert manifest(test).weight["name"] == "inverse_length"
    assert manifest(test).unit == "step"
    test.selectbox(key=key("option_unit")).select("automatic").run()
    assert manifest(test).options["unit"] is None


def test_a_link_restores_what_was_chosen(app: OpenApp):
    options = {"weight": "inverse_length", "drop_zero_groups": True}
    test = opened(app, **exporting(method="rloo", to="weighted-batch", options=options))
    assert test.selectbox(key=key("method")).value == "rloo"
    assert test.selectbox(key=key("option_weight")).value == "inverse_length"
    assert test.checkbox(key=key("option_drop_zero_groups")).value
    assert manifest(test).options.items() >= {"unit": None, **options}.items()


def test_only_some_groups_and_the_largest_advantages(app: OpenApp):
    test = opened(app, logs.log(SMALL), methods="grpo")
    test.multiselect(key=key("option_groups")).select("g0").run()
    assert counts(test)[1] == ("− not asked for", 2, 2)
    assert "-p 'groups=[\"g0\"]'" in test.code[0].value
    test.number_input(key=key("option_top_share")).set_value(0.5).run()
    assert manifest(test).counts["below_top_share"] == 0  # all three are equally large
    test.number_input(key=key("option_clip")).set_value(0.25).run()
    assert manifest(test).counts["clipped_steps"] == 3
    assert manifest(test).options["top_share"] == 0.5
    # The tokenizer is a path of this machine.
    assert [found.label for found in test.text_input] == ["Filter"]


def test_values_that_a_widget_cannot_hold_are_the_defaults(app: OpenApp):
    options = {"clip": -1, "top_share": 7, "groups": ["none such"], "tasks": 3, "tokenizer": "x"}
    test = opened(app, logs.log(SMALL), methods="grpo", **exporting(options=options))
    chosen = manifest(test).options
    assert [chosen[name] for name in options] == [None, 1.0, None, None, None]


def test_a_trainer_without_its_tokens_is_refused_with_the_reason(
    app: OpenApp, downloads: list[Callable[[], bytes]], tmp_path: Path
):
    test = opened(app, logs.log(SMALL), methods="grpo", **exporting(to="verl"))
    assert "There is no batch to give" in said(test)
    test.selectbox(key=key("to")).select("datasets").run()
    assert not test.error
    assert "**datasets**" in said(test)
    with zipfile.ZipFile(io.BytesIO(downloads[-1]())) as packed:
        assert packed.namelist() == [
            "batch/README.md",
            "batch/dataset.parquet",
            "batch/manifest.json",
        ]


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[1]",
        '{"method": 5}',
        '{"to": []}',
        '{"options": {"colour": 1}}',
        '{"options": 3}',
    ],
)
def test_a_link_that_cannot_be_is_said_and_left_out(app: OpenApp, text: str):
    test = app(query={"export": text})
    assert test.warning[0].value.startswith("export\\=")
    assert test.session_state[state.VIEW].export == {}
    assert "export" not in test.query_params


def test_a_choice_that_does_not_exist_is_the_default(app: OpenApp):
    test = opened(app, **exporting(options={"unit": ["step"], "drop_zero_groups": "yes"}))
    assert test.selectbox(key=key("option_unit")).value == "automatic"
    assert not test.checkbox(key=key("option_drop_zero_groups")).value


def test_what_the_batch_is_worth_is_said(app: OpenApp):
    test = opened(app)
    assert "2,772 of 3,732 trained steps pull at the policy" in said(test)
    shares = next(t.value for t in test.dataframe if "share of the weight" in t.value.columns)
    assert len(shares) == 10
    assert shares["share of the weight"].is_monotonic_decreasing


def test_the_chosen_trainer_alone_says_what_to_switch_off(app: OpenApp):
    test = opened(app)
    advice = manifest(test).turn_off
    trainers = test.selectbox(key=key("trainer"))
    assert trainers.options == list(advice)
    shown = [name for name in advice if f"**{name}**" in said(test)]
    assert shown == []
    name = list(advice)[1]
    trainers.select(name).run()
    assert [one for one in advice if f"**{one}**" in said(test)] == [name]
    # An address carries it.
    assert json.loads(test.query_params["export"])["trainer"] == name


def test_three_rows_are_shown_as_the_trainer_sees_them(app: OpenApp):
    test = opened(app, logs.log(SMALL), **exporting(method="grpo"))
    shown = component(test, "preview")
    assert len(shown["rows"]) == 3
    for row in shown["rows"]:
        masked = [p for p in row["pieces"] if not p["trained"]]
        assert all(piece["advantage"] is None for piece in masked)
        assert sum(piece["trained"] for piece in row["pieces"]) == row["trained"]
    assert shown["scale"] == max(
        abs(p["advantage"]) for row in shown["rows"] for p in row["pieces"] if p["trained"]
    )


def test_clip_and_share_say_what_they_do(app: OpenApp):
    assert "go out as the method gives them" in said(opened(app))
    test = opened(app, **exporting(options={"clip": 1.0, "top_share": 0.5}))
    (table,) = (t.value for t in test.table if "before" in t.value.columns)
    rows = {name: (old, new) for name, old, new in table.itertuples(index=False)}
    # Half of 3,732 steps, and those as large as the last of them.
    assert rows["trained steps"][0] == "3,732"
    assert int(rows["trained steps"][1].replace(",", "")) >= 1866
    assert rows["largest advantage"][1] == "▲ +1"
    assert rows["largest advantage"][0] != rows["largest advantage"][1]


def test_tokens_and_log_probabilities(app: OpenApp, downloads: list[Callable[[], bytes]]):
    size = 4
    frame = logs.log(
        SMALL,
        prompt_ids=pl.Series([[1], [1, 2, 3], [1], [1], [1]], dtype=pl.List(pl.Int32)),
        response_ids=pl.Series([[2]] * 5, dtype=pl.List(pl.Int32)),
        response_logprobs=pl.Series([[-0.5]] * 5, dtype=pl.List(pl.Float32)),
        train_step=3,
        policy_version=1,
    )
    test = opened(app, frame, methods="grpo")
    assert f"{size} rows" in said(test)
    assert checks(test)["Prefixes"][0] == "✓ fine"
    assert checks(test)["Logprobs"][0] == "✓ fine"
    assert checks(test)["Staleness"] == ("! look", "the oldest policy was 2 train steps behind")
    assert "trained steps of 5 tokens" in said(test)
    assert len(downloads[-1]()) > 100


def test_trajectories_without_a_reward_are_left_out_and_counted(app: OpenApp):
    lost: logs.Described = {
        **SMALL,
        "g2": {"g2/a": [("s", "go", None)] * 2, "g2/b": [("s", "go", float("nan"))]},
    }
    test = opened(app, logs.log(lost), methods="grpo")
    assert counts(test) == [
        ("in the log", 6, 8),
        ("− no usable reward", 2, 3),
        ("in the batch", 4, 5),
    ]
    assert checks(test)["Left out"][0] == "! look"


def test_equal_rewards_give_no_batch(app: OpenApp):
    same = {"g": {f"t{k}": [("s", "go", 1.0)] for k in range(3)}}
    test = opened(app, logs.log(same), methods="grpo")
    assert "There is no batch to give" in said(test)
    assert any("none of its 3 trained steps has an advantage" in code.value for code in test.code)


def test_leaving_out_everything_is_refused_in_words(app: OpenApp):
    worse = {"g": {f"t{k}": [("s", "go", float(k > 0))] for k in range(3)}}
    log = logs.log(worse).with_columns(gradient_mask=pl.col("reward") == 0)
    chosen = exporting(options={"positive_only": True})
    test = opened(app, log, methods="grpo", **chosen)
    assert "There is no batch to give" in said(test)
    assert any("none of its 3 steps is trained" in code.value for code in test.code)
    # The page stays alive: the option can be taken back.
    test.checkbox(key=key("option_positive_only")).uncheck().run()
    assert not test.error


@pytest.mark.parametrize("text", ["", "huge " * 200_000], ids=["empty", "huge"])
def test_empty_and_huge_texts(app: OpenApp, text: str):
    test = opened(app, logs.log(SMALL, observation=text, action=text), methods="grpo")
    assert counts(test)[-1] == ("in the batch", 4, 5)


def test_one_step(app: OpenApp):
    test = opened(app, logs.log({"g": {"t": [("s", "go", 1.0)]}}))
    assert any("none of its 1 trained step has" in code.value for code in test.code)


def test_what_the_filter_leaves_is_trained_and_counted(app: OpenApp):
    frame = bundled()
    test = opened(app, filter="outcome:won depth>=3", methods="grpo")
    ends = frame.group_by("trajectory_id").agg(pl.col("success").any(), pl.len())
    # Every trajectory of this log has at least five steps.
    won = ends.filter("success")
    assert counts(test)[-1] == ("in the batch", won.height, won["len"].sum())
    context = f"{2 * won.height} of {won['len'].sum():,} steps"
    verdict, found = checks(test)["Left out"]
    assert verdict == "! look"
    assert f"of 160 trajectories not in it: {160 - won.height} (not asked for)" in found
    assert context in found
    assert f"{2 * won.height} (not left by the filter)" in found
    assert "rollouts without any stay out" in said(test)
    # A filter that is wrong is said, and chooses nothing.
    wrong = opened(app, filter="outcom:won", methods="grpo")
    assert counts(wrong)[-1] == ("in the batch", 160, 3732)


def test_groups_of_one_rollout(app: OpenApp):
    alone = {f"g{k}": {f"t{k}": [("s", "go", 0.0), ("t", "go", k / 2)]} for k in range(3)}
    test = opened(app, logs.log(alone), methods="grpo:verl")
    assert counts(test)[-1] == ("in the batch", 3, 6)


def test_ids_and_names_that_look_like_markup_are_shown_as_text(
    app: OpenApp, downloads: list[Callable[[], bytes]], tmp_path: Path
):
    nasty = {
        f"{g}{NASTY}{g}": {f"{NASTY} {t}": s for t, s in ts.items()} for g, ts in SMALL.items()
    }
    test = opened(app, logs.log(nasty, model=NASTY), methods="grpo")
    shares = next(t.value for t in test.dataframe if "share of the weight" in t.value.columns)
    assert all(NASTY in group for group in shares["group"])
    assert "<script>" not in said(test)
    # The manifest is shown as code.
    assert manifest(test).policy["models"] == [NASTY]
    batch = read_batch(unpacked(downloads[-1](), tmp_path / "out"))
    assert NASTY in batch["group_id"][0]


def test_a_folder_can_only_be_written_where_the_command_line_allows_it(app: OpenApp):
    assert not [box for box in opened(app).text_input if box.key == key("folder")]


def test_a_batch_is_written_to_a_folder_and_not_over_one(app: OpenApp, tmp_path: Path):
    frame = logs.log(SMALL)
    test = app(frame, page="export", query={"methods": "grpo"}, arguments=("--allow-path-input",))
    folder = tmp_path / "out"
    test.text_input(key=key("folder")).set_value(str(folder)).run()
    test.button(key=key("write")).click().run()
    assert "Written to" in said(test)
    assert read_batch(folder).height == 4
    test.button(key=key("write")).click().run()
    assert "Nothing was written" in said(test)
    assert any("holds a finished export" in code.value for code in test.code)
    test.checkbox(key=key("overwrite")).check().run()
    test.button(key=key("write")).click().run()
    assert "Written to" in said(test)
    assert not test.exception
