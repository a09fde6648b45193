"""Claude Code sessions: `~/.claude/projects/*/*.jsonl`.

The program is closed and its format not documented; what is known was read from files and from
public readers of them (microsoft/amplifier `ai_working/claude_code_logging`, skillsynchq/txcript
`docs/formats/claude-code.md`, elidickinson/cc-session-io `docs/claude-code-sessions.md`, Inspect
Scout's `sources/_claude_code`):

- A line is {type, uuid, parentUuid, sessionId, isSidechain, version, timestamp, message …}; type
  user and assistant hold a message of Anthropic's API, all others something about the session, but
  stand in the chain of `parentUuid` where they have a `uuid`.
- An answer is written as one line a content block, all with its `message.id`. Results of calls that
  were made together hang on the line of their call, so that the chain alone would lose some.
- `isSidechain` marks what a sub-agent (`agentId`) said; newer versions write it into files of its
  own, `<session>/subagents/agent-<id>.jsonl`, under the session's id.
- `compact_boundary` (system) is where the context was compacted: without a parent, its
  `logicalParentUuid` is the line before. The summary follows (`isCompactSummary`), and then what
  `compactMetadata.preservedMessages` names, whose lines stand before and are not written again.
- Lines with `forkedFrom`, or of another `sessionId` on the same chain, are copied from the session
  that this one resumes.
- What the program puts before the model besides that (the system prompt, the tools, reminders of
  the date and of CLAUDE.md, what `attachment` lines stand for) is not written. But for these, the
  prompts that are read here are those that version 2.1.197 sends (`tests/producers/test_agents`).
- `isApiErrorMessage`, and the model `<synthetic>`, mark what the program said itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from workbench.readers.base import Diagnostics, Part, reader
from workbench.readers.claude_lines import lines_of
from workbench.readers.claude_tree import entries_of, lanes_of
from workbench.readers.mapping import refuse_mapping
from workbench.readers.rows import StepRows
from workbench.readers.sessions import Session, add_session, has_line_with, say_kinds

_NOT_SHOWN = {
    "attachment": "attachments, which the program told the model in reminders of its own, are left "
    "out",
    "system microcompact_boundary": "old results of tools were taken out of the context, where the "
    "conversation still has them",
}
"""Type of a line -> what is not known of it."""


@reader("claude-code", description="Claude Code sessions, JSONL")
class ClaudeCode:
    """Steps are answers of the model, the lines of one `message.id` as one.

    Trajectories are sessions, `<session>/<agent>` what a sub-agent did, and `<session>/branch-1`
    what was rewound or edited; a compaction begins a segment. Groups are sessions that begin with
    the same message of the user, under the same version and models. Rewards are null.
    `source_line` is the last line of an answer.
    """

    def sniff(self, path: Path, head: bytes) -> bool:
        """Lines with a message, its own id and that of the session."""
        lines = [line for line in head.splitlines() if b'"content"' in line]
        return has_line_with(b"\n".join(lines), {"type", "uuid", "sessionId", "message"})

    def read(self, path: Path, columns: Mapping[str, str]) -> Part:
        """The steps of a session; the format has fixed names, so `columns` must be empty."""
        refuse_mapping(columns, "Claude Code sessions")
        diagnostics = Diagnostics()
        rows = StepRows(diagnostics)
        found = lines_of(path, diagnostics)
        entries = entries_of(found, diagnostics, str(path))
        lanes = list(lanes_of(found.lines, entries, path.stem))
        for told, agent, own in lanes:
            name = told or path.stem
            session = Session(
                name=name if agent is None else f"{name}/{agent}",
                agent="claude-code",
                agent_id=agent or ("main" if len(lanes) > 1 else None),
            )
            add_session(rows, own, session, diagnostics, str(path))
        for kind, text in _NOT_SHOWN.items():
            if count := found.kinds.pop(kind, 0):
                diagnostics.notice(text, str(path), count=count)
        say_kinds(found.kinds, diagnostics, str(path))
        return Part(frame=rows.frame(), diagnostics=diagnostics)
