"""Every name of the session state and of the URL, and the one view that both restore.

A `View` is all that a link has to carry: which log, which methods, which step, which settings. It
lives in the session, is written to the address after each change, and is read from it when a
session begins and whenever somebody moved the address: by Back, Forward or a link. Pages read
`current()` and change it with `update()`; nothing else touches `st.query_params`, and no other
file spells a key.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import streamlit as st

from workbench.errors import UnknownNameError, WorkbenchError
from workbench.wording import shortened

DEFAULT_METHODS = ("grpo", "gigpo", "proxmo")
DEFAULT_TARGET = "weighted-batch"
DEFAULT_TUNED = "proxmo"

# Keys of st.session_state. Widgets: "w_<page>_<what>".
VIEW = "view"
WRITTEN, LINKED, VISITED = "address_written", "addresses_linked", "addresses_visited"
LAST_PAGE = "last_page"
UPLOADED = "uploaded_logs"
LIBRARY, ENTRY, PAGES, ALLOW_PATHS = "library", "entry", "pages", "allow_paths"
MESSAGES = "messages"
LOG_PICKER = "w_frame_log"
EMBEDDER_PICKER = "w_frame_embedder"
FILTER = "w_frame_filter"
TOKENIZER, TOKENIZER_INPUT = "tokenizer_folder", "w_frame_tokenizer"
GUESSED_CHAINS = "w_frame_guessed_chains"
WATCHED, LOAD_WATCHED = "watched_folder", "w_frame_load_watched"
ADDED, REFUSED, ARRIVED = "added_logs", "refused_log", "arrived_files"
UPLOAD = "w_log_upload_{number}"
PATH_INPUT = "w_log_path_{number}"
UPLOAD_FORMAT = "w_log_format"
SKIP_BAD, QUARANTINE = "w_log_skip_bad", "w_log_quarantine"
MAX_UNPACKED = "w_log_max_unpacked"
MAX_NESTING = "w_log_max_nesting"
UNTRAINED, KEEP_MASKED = "w_votes_untrained_{log}", "w_votes_keep_masked_{log}"
REWARDS = "w_votes_rewards_{log}"
READ_AGAIN = "w_votes_read_again_{log}"
IMPORT, IMPORT_MAPPED, DISCARD = "w_log_import", "w_log_import_mapped", "w_log_discard"
MAPPING = "w_log_map_{files}_{column}"
GROUP_TABLE = "w_overview_groups"
LENGTHS_CHART = "w_overview_lengths"
METHODS_PICKER = "w_methods_{page}"
VIEWER = "w_rollouts_viewer"
WHY = "w_rollouts_why"
VIEWER_ORDER, VIEWER_KNOWN, VIEWER_ASKED = "viewer_order", "viewer_known", "viewer_asked"
LIST_AT, NEAREST_OF, HEARD = "list_at", "nearest_of", "heard"
WHAT_IF, TRIAL = "w_rollouts_what_if_{what}_{of}", "what_if_trial"
STEP_TABLE = "w_steps_table"
MAP, MAP_OPTION, MAP_PEEK = "w_map_canvas", "w_map_{option}", "map_peek"
SHOWN, OPENED = "steps_shown", "step_opened"
TUNED_PICKER, TRYING = "w_tune_method", "w_tune_value"
TUNE_FIELD = "w_tune_{method}_{field}"
DRAFT, STOPPED = "tune_draft", "stopped_work"
PAIR, MATRIX, RUNS = "w_compare_pair", "w_compare_matrix", "w_compare_runs"
SCATTER, SIGNS = "w_compare_scatter", "w_compare_signs"
DISAGREEMENTS = "w_compare_disagreements"
EXPORT = "w_export_{option}"
MEASURE = "w_audit_measure"
UNSTABLE_STEPS, ROLES_OF = "w_audit_steps", "w_audit_roles"
TRAINER = "w_overview_trainer"
MEND = "w_audit_mend_{finding}"

# Keys of the URL.
URL_LOG, URL_EMBEDDER, URL_METHODS, URL_STEP = "log", "embedder", "methods", "step"
URL_FIELDS, URL_TUNED, URL_TRYING, URL_PINS = "fields", "tune", "try", "pins"
URL_PAIR, URL_RUNS, URL_EXPORT, URL_MEASURE = "pair", "runs", "export", "measure"
URL_MAP = "map"
URL_FILTER, URL_SORT, URL_LEAD, URL_BESIDE = "filter", "sort", "lead", "beside"

MAP_COLOURS = ("advantage", "return", "disagreement", "success", "depth")
MAP_KINDS = ("pca", "umap")
"""Colours and layouts of a map of states; the first ones by default."""

_REMEMBERED = 50  # links whose address may still be clicked
MOST_FILTER = 2000
"""Characters of a filter; an address cannot carry many more."""


@dataclass(frozen=True, kw_only=True)
class View:
    """State of the app that a link restores.

    Args:
        log: Id of the log; empty for the first one.
        embedder: Representation for proximity.
        methods: Methods shown side by side.
        step: The step looked at, as (trajectory id, step index); None for the log's first.
        fields: Method or dialect -> fields that are set on every page, where they are not its own.
        tuned: The method that is tuned.
        trying: Its value under the slider, not applied yet; None for the applied one.
        pins: Method -> value that changes are counted against, where it is not the applied one.
        pair: The two methods that are set against each other; None for the first two.
        runs: Logs that are set side by side, the baseline first; none for the one shown.
        export: What the batch is made of, where it is not the default: `method`, `to`, `options`;
            and `trainer`, who reads it.
        measure: The number of an audit that is looked at; empty for the first.
        filter: The steps that are looked at, as `analysis.filters` reads it; empty for all.
        sort: By what the list of steps is sorted; empty for the log's order.
        lead: The method that leads where rollouts are read; empty for the last one.
        map: What a map shows: its colour and its projection, as COLOUR/KIND; empty for the default.
        beside: The trajectory that is compared with the one that is read; empty for none.
    """

    log: str = ""
    embedder: str = "tfidf"
    methods: tuple[str, ...] = DEFAULT_METHODS
    step: tuple[str, int] | None = None
    fields: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tuned: str = DEFAULT_TUNED
    trying: float | None = None
    pins: Mapping[str, float] = field(default_factory=dict)
    pair: tuple[str, str] | None = None
    runs: tuple[str, ...] = ()
    export: Mapping[str, Any] = field(default_factory=dict)
    measure: str = ""
    filter: str = ""
    sort: str = ""
    lead: str = ""
    beside: str = ""
    map: str = ""

    def params(self, method: str) -> dict[str, Any]:
        """Fields that the view sets for a method or dialect."""
        return dict(self.fields.get(method, {}))

    def with_fields(self, method: str, fields: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
        """The fields of all methods with those of one replaced."""
        others = {name: own for name, own in self.fields.items() if name != method}
        return {**others, **({method: dict(fields)} if fields else {})}

    def to_url(self) -> dict[str, str]:
        """The query parameters of this view; what is at its default is left out."""
        default = View()
        entries = {
            URL_LOG: self.log,
            URL_EMBEDDER: self.embedder if self.embedder != default.embedder else "",
            URL_METHODS: ",".join(self.methods) if self.methods != default.methods else "",
            URL_STEP: f"{self.step[0]}:{self.step[1]}" if self.step else "",
            URL_FIELDS: json.dumps(self.fields, sort_keys=True) if self.fields else "",
            URL_TUNED: self.tuned if self.tuned != default.tuned else "",
            URL_TRYING: f"{self.trying:.6g}" if self.trying else "",
            URL_PINS: json.dumps(self.pins, sort_keys=True) if self.pins else "",
            URL_PAIR: ",".join(self.pair) if self.pair else "",
            URL_RUNS: ",".join(self.runs),
            URL_EXPORT: json.dumps(self.export, sort_keys=True) if self.export else "",
            URL_MEASURE: self.measure,
            URL_FILTER: self.filter,
            URL_SORT: self.sort,
            URL_LEAD: self.lead,
            URL_BESIDE: self.beside,
            URL_MAP: self.map,
        }
        return {key: value for key, value in entries.items() if value}

    @classmethod
    def from_url(
        cls, query: Mapping[str, str], embedders: Sequence[str] = ()
    ) -> tuple[View, list[str]]:
        """The view of query parameters, and what in them could not be used.

        Args:
            query: The parameters.
            embedders: Representations that an address may ask for, besides the default: whoever
                has the address must not make the server load another model.
        """
        wrong: list[str] = []
        values: dict[str, Any] = {}
        readers: dict[str, tuple[str, Callable[[str], Any]]] = {
            URL_LOG: ("log", str),
            URL_EMBEDDER: ("embedder", lambda text: _embedder(text, embedders)),
            URL_METHODS: ("methods", _methods),
            URL_STEP: ("step", _step),
            URL_FIELDS: ("fields", _fields),
            URL_TUNED: ("tuned", _tuned),
            URL_TRYING: ("trying", lambda text: _value(_tuned(query.get(URL_TUNED, "")), text)),
            URL_PINS: ("pins", _pins),
            URL_PAIR: ("pair", _pair),
            URL_RUNS: ("runs", lambda text: tuple(dict.fromkeys(filter(None, text.split(","))))),
            URL_EXPORT: ("export", _export),
            URL_MEASURE: ("measure", _measure),
            URL_FILTER: ("filter", _filter),
            URL_SORT: ("sort", str),
            URL_LEAD: ("lead", _method),
            URL_BESIDE: ("beside", str),
            URL_MAP: ("map", _map),
        }
        for key, (name, read) in readers.items():
            if query.get(key):
                try:
                    values[name] = read(query[key])
                except (ValueError, TypeError, WorkbenchError) as error:
                    given, why = shortened(query[key], 60), shortened(str(error), 300)
                    wrong.append(f"{key}={given!r} in the address is left out: {why}")
        return cls(**values), wrong


def _methods(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name for name in text.split(",") if name))
    for name in names:
        _method(name)
    return names or DEFAULT_METHODS


def _method(text: str, fields: Mapping[str, Any] | None = None) -> str:
    # Methods, targets and measures are imported where an address names one.
    from workbench.methods import create

    create(text, fields)
    return text


def _embedder(text: str, known: Sequence[str]) -> str:
    offered = [View().embedder, *known]
    if text not in offered:
        raise ValueError(
            f"the server offers {', '.join(dict.fromkeys(offered))}; others are chosen when it is "
            "started (workbench app --embedder …)"
        )
    return text


def _step(text: str) -> tuple[str, int]:
    trajectory, colon, index = text.rpartition(":")
    if not colon or not index.isdecimal():
        raise ValueError("expected TRAJECTORY:INDEX")
    return trajectory, int(index)


def _fields(text: str) -> dict[str, dict[str, Any]]:
    found = json.loads(text)
    if not isinstance(found, dict) or not all(isinstance(own, dict) for own in found.values()):
        raise ValueError("expected a JSON object: method -> its fields")
    for method, own in found.items():
        _method(method, own)
        _require_open(method, own)
    return found


def _require_open(method: str, own: Mapping[str, Any]) -> None:
    """Refuse free text from an address, by which a server would load a model, or run a pattern."""
    from workbench.methods import create
    from workbench.parameters import fields
    from workbench.states.keys import parse_state_key
    from workbench.states.keys.similar import Similar
    from workbench.states.keys.text import Exact

    known = fields(type(create(method)))
    for name, value in own.items():
        if known[name].type is not str or known[name].choices or value is None:
            continue
        key = parse_state_key(value) if name == "state_key" else None
        if not isinstance(key, Exact) and not (isinstance(key, Similar) and key.embedder is None):
            raise ValueError(f"{method}: an address sets no {name} but exact or similar keys")


def _tuned(text: str) -> str:
    from workbench.analysis.tuning.tunable import tuned_by
    from workbench.methods import create

    name = text or DEFAULT_TUNED
    tuned_by(create(name))
    return name


def _value(method: str, text: Any) -> float:
    from workbench.analysis.tuning.verdict import fields_at
    from workbench.methods import create

    value = float(text)
    create(method, fields_at(create(method), value))
    return value


def _pins(text: str) -> dict[str, float]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("expected a JSON object: method -> value")
    return {_tuned(method): _value(method, value) for method, value in found.items()}


def _pair(text: str) -> tuple[str, str]:
    names = _methods(text)
    if len(names) != 2:
        raise ValueError("expected two methods")
    return names[0], names[1]


def _export(text: str) -> dict[str, Any]:
    chosen = json.loads(text)
    if not isinstance(chosen, dict) or set(chosen) - {"method", "to", "options", "trainer"}:
        raise ValueError("expected a JSON object with method, to, options and trainer")
    from workbench.exporters import TARGETS

    _method(str(chosen.get("method", DEFAULT_METHODS[0])))
    known = TARGETS[str(chosen.get("to", DEFAULT_TARGET))].options
    options = chosen.get("options", {})
    if not isinstance(options, dict) or set(options) - set(known):
        raise ValueError(f"expected options of {list(known)}")
    return chosen


def _measure(text: str) -> str:
    from workbench.analysis.audit import MEASURES

    if text not in MEASURES:
        raise UnknownNameError("measure", text, MEASURES)
    return text


def _map(text: str) -> str:
    colour, slash, kind = text.partition("/")
    if not slash or colour not in MAP_COLOURS or kind not in MAP_KINDS:
        raise ValueError(f"expected one of {MAP_COLOURS}, a slash, and one of {MAP_KINDS}")
    return text


def _filter(text: str) -> str:
    # What is wrong inside it is said next to the bar, where it can be put right.
    if len(text) > MOST_FILTER:
        raise ValueError(f"a filter has at most {MOST_FILTER:,} characters, this has {len(text):,}")
    return text.strip()


def begin(page: str, embedders: Sequence[str]) -> None:
    """Restore the view from the address: in a new session, and where Back or a link moved it.

    An address that this session has written is its view already, and an empty one says nothing.

    Args:
        page: The page that is shown.
        embedders: As for `View.from_url`.
    """
    here = st.query_params.to_dict()
    other_page = st.session_state.get(LAST_PAGE, page) != page
    st.session_state[LAST_PAGE] = page
    if VIEW in st.session_state:
        followed = other_page and _followed(page, here)
        if not here or here == st.session_state.get(WRITTEN) or followed:
            return
    view, wrong = View.from_url(here, embedders)
    st.session_state[VIEW] = view
    for message in wrong:
        tell("warning", message)


def _followed(page: str, query: Mapping[str, str]) -> bool:
    """True if somebody followed a link to a page rather than went back to it.

    A link may be older than the view, where a part of its page ran alone or it was clicked before
    it was redrawn: whoever follows it wants that page, not that view.
    """
    drawn: list[dict[str, str]] = st.session_state.get(LINKED, [])
    been = (page, _key(query)) in st.session_state.get(VISITED, set())
    return query in drawn[-1:] or (query in drawn and not been)


def drew_links() -> None:
    """Remember what the links of a page carry: the view as it is now."""
    drawn = st.session_state.setdefault(LINKED, [])
    drawn.append(current().to_url())
    del drawn[:-_REMEMBERED]


def _key(query: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(query.items()))


def current() -> View:
    """The view of this session."""
    view: View = st.session_state[VIEW]
    return view


def update(**changes: Any) -> None:
    """Change the view and the URL; for callbacks and for code before the widgets it concerns."""
    st.session_state[VIEW] = dataclasses.replace(current(), **changes)
    write_url()


def write_url() -> None:
    """Make the URL that of the view, if it is not already."""
    wanted = st.session_state[WRITTEN] = current().to_url()
    st.session_state.setdefault(VISITED, set()).add((st.session_state[LAST_PAGE], _key(wanted)))
    if st.query_params.to_dict() != wanted:
        st.query_params.from_dict(wanted)


def tell(kind: Literal["success", "info", "warning", "error"], text: str) -> None:
    """Show a message at the top of the next run; it is shown once."""
    st.session_state.setdefault(MESSAGES, []).append((kind, text))


def messages() -> list[tuple[str, str]]:
    """Take the messages that wait to be shown."""
    waiting: list[tuple[str, str]] = st.session_state.pop(MESSAGES, [])
    return waiting
