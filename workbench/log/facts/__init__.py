"""Facts of a step log before it is scored: the counts that decide what is possible.

A group in which every trajectory has the same reward teaches a group-relative method nothing; a
state that occurs once in its group has no peer; a log without token ids cannot become a
token-level batch. `facts` says how many of each there are.
"""

from workbench.log.facts.counts import facts
from workbench.log.facts.report import Facts
from workbench.log.facts.trajectories import (
    GROUP_KINDS,
    finish_reasons,
    group_table,
    length_histogram,
)

__all__ = ["GROUP_KINDS", "Facts", "facts", "finish_reasons", "group_table", "length_histogram"]
