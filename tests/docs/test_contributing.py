"""CONTRIBUTING.md adds a method in one file; here that file is written and held to the contract."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from typing import Any

import method_contract as contract
import pytest
from logs import log
from places import ROOT

from workbench.log.steps import Steps
from workbench.methods import METHODS, base, create
from workbench.methods.variants import variants
from workbench.states.space import Space

NAME = "same-turn"


def block(name: str) -> str:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    found = re.search(rf"<!-- {name} -->\n```python\n(.*?)```", text, re.DOTALL)
    assert found, name
    return found.group(1)


@pytest.fixture(scope="module", autouse=True)
def added(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The documented file as a module, its method registered while these tests run."""
    file = tmp_path_factory.mktemp("methods") / "same_turn.py"
    file.write_text(block("method"), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("same_turn", file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["same_turn"] = module
    spec.loader.exec_module(module)
    yield
    METHODS.remove(NAME)
    del sys.modules["same_turn"]


def test_it_is_in_the_registry_and_in_the_document_s_table():
    assert NAME in METHODS
    assert NAME in variants()
    assert NAME in base.methods_table()["method"].to_list()
    contract.every_trait_is_known_and_every_method_says_its_formula_and_conventions()
    contract.the_registry_is_json()


@pytest.mark.parametrize(
    ("rule", "arguments"),
    [
        (contract.every_scored_step_has_a_finite_advantage_and_excluded_ones_have_none, {}),
        (contract.terms_sum_to_the_advantage_exactly, {}),
        (contract.row_order_is_irrelevant, {}),
        (contract.groups_are_independent, {}),
        (contract.batches_are_independent, {"other": ("r", 2)}),
        (contract.a_later_batch_changes_no_earlier_one, {}),
        (contract.a_log_without_updates_is_one_batch_and_coupled_credit_says_so, {}),
        (contract.peers_are_of_the_batch_and_coupled_credit_names_it, {}),
        (contract.other_ids_of_the_same_rollouts_change_nothing, {}),
        (contract.rewards_of_another_scale_scale_credit_or_leave_it, {}),
        (contract.equal_returns_give_exactly_zero, {"reward": 0.1}),
        (contract.a_group_of_equal_rewards_gets_nothing_whatever_the_others_got, {}),
        (contract.equal_returns_up_to_rounding_give_exactly_zero, {}),
        (contract.a_group_of_one_gets_an_episode_term_of_zero, {}),
        (contract.copies_do_not_count, {}),
        (contract.response_tokens_do_not_matter, {}),
        (contract.a_trajectory_outside_the_statistics_changes_no_other_credit, {}),
        (contract.the_same_bytes_on_every_run, {}),
        (contract.extreme_rewards_give_finite_credit_or_are_refused_by_name, {"factor": 1e300}),
        (contract.steps_of_a_group_outside_all_statistics_can_be_explained, {}),
        (
            contract.an_explanation_sums_to_the_advantage_and_its_peers_to_the_baseline,
            {"seed": 0},
        ),
        (contract.hyper_parameters_out_of_range_are_refused_and_all_named, {}),
    ],
)
def test_it_holds_the_contract(rule: Any, arguments: dict[str, Any]):
    rule(NAME, **arguments)


def test_every_rule_of_the_contract_is_run_here():
    (cases,) = test_it_holds_the_contract.pytestmark
    assert {rule for rule, _ in cases.args[1]} == {rule.check for rule in contract.RULES}


def test_its_documented_tests_run():
    names: dict[str, Any] = {"Steps": Steps, "Space": Space, "create": create, "log": log}
    exec(compile(block("test"), "CONTRIBUTING.md", "exec"), names)
    found = [value for name, value in names.items() if name.startswith("test_")]
    assert len(found) == 2
    for test in found:
        test()


def test_links_of_the_document_lead_somewhere():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for path in re.findall(r"`((?:workbench|tests)/[\w/.]+)`", text):
        assert (ROOT / path).exists() or path.endswith("same_turn.py"), path
