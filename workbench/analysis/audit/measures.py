"""Measures of an audit: the meaning of each number, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping

from workbench.analysis.audit.sections import Measure

_ALL = (
    Measure(
        name="singleton_rate",
        group="coverage",
        kind="share",
        meaning="Steps whose exact observation occurs once in their group.",
        action="Where high, exact keys say nothing: use proximity, or a state text that repeats.",
        places="step depth",
    ),
    Measure(
        name="anchor_coverage",
        group="coverage",
        kind="share",
        meaning="Steps whose exact state another trajectory of the group was in too.",
        action="Only these steps get independent evidence from exact keys; raise it or use "
        "proximity.",
    ),
    Measure(
        name="matched_pairs",
        group="coverage",
        kind="number",
        meaning="Steps of other trajectories in the same exact state, for each step on average.",
        action="Below 1 most baselines are a single return: take more rollouts per group.",
    ),
    Measure(
        name="merge_rate",
        group="coverage",
        kind="share",
        meaning="1 − distinct exact states / steps: how many steps are folded into a state met "
        "before.",
        action="Near 1, few states stand for everything: look at giant_state.",
    ),
    Measure(
        name="divergent_rate",
        group="coverage",
        kind="share",
        meaning="Steps in shared states where at least two different actions were taken.",
        action="Only there can a comparison inside a state prefer one action to another.",
    ),
    Measure(
        name="loop_rate",
        group="coverage",
        kind="share",
        meaning="Steps in states that one trajectory alone was in, more than once.",
        action="A trajectory that is compared with itself learns time, not merit: leave it out "
        "of its own peers.",
    ),
    Measure(
        name="giant_state",
        group="coverage",
        kind="share",
        meaning="Largest share of a group's later steps (after each first) that one exact state "
        "holds.",
        action="If the text is feedback rather than state: a state_key of the log, or a state text "
        "with the last actions.",
        places="group",
        listed=True,
    ),
    Measure(
        name="dead_groups",
        group="coverage",
        kind="share",
        meaning="Groups that teach a group-relative method nothing, by kind.",
        action="Sample other tasks or more rollouts; drop these groups from batches.",
        places="kind",
    ),
    Measure(
        name="mixed_policies",
        group="coverage",
        kind="share",
        meaning="Groups that hold trajectories of several models or policy versions.",
        action="Give each policy groups of its own: put it into group_id.",
    ),
    Measure(
        name="cut_texts",
        group="coverage",
        kind="share",
        meaning="Distinct state texts longer than the model's window; they were pooled from "
        "windows.",
        action="Where high, use a shorter state text or a model with a longer window.",
    ),
    Measure(
        name="zero_signal_rate",
        group="coverage",
        kind="share",
        meaning="Steps whose credit is 0.",
        action="They add cost and no gradient: see dead_groups and singleton_rate for why.",
    ),
    Measure(
        name="zero_step_term_rate",
        group="coverage",
        kind="share",
        meaning="Steps whose step term is 0, so that only the trajectory's reward speaks.",
        action="Where high, the step method falls back to the trajectory's: widen its peers.",
    ),
    Measure(
        name="peer_coverage",
        group="coverage",
        kind="share",
        meaning="Steps whose step baseline has a peer in another trajectory.",
        action="The rest have no independent evidence; widen the key or lower the threshold.",
    ),
    Measure(
        name="effective_peers",
        group="coverage",
        kind="number",
        meaning="Median of 1 / Σ weight²: equally weighted peers that average as much.",
        action="Near 1 the baseline is one return; near the group's size it is the group's mean.",
    ),
    Measure(
        name="self_weight",
        group="coverage",
        kind="share",
        meaning="Median weight of a step in its own baseline.",
        action="Near 1 the step term vanishes: leave self out (peers=other_trajectories).",
    ),
    Measure(
        name="own_trajectory_weight",
        group="coverage",
        kind="share",
        meaning="Median weight of a step's own trajectory in its baseline, the step included.",
        action="A trajectory says nothing independent about itself: peers=other_trajectories.",
    ),
    Measure(
        name="within_share",
        group="spread",
        kind="share",
        meaning="Share of the credit's variance that lies inside trajectories; the rest is "
        "between.",
        action="0 is trajectory credit; near 1 the outcome hardly matters: compare with "
        "step_share.",
    ),
    Measure(
        name="step_share",
        group="spread",
        kind="share",
        meaning="Deviation of the step term as a share of those of both terms.",
        action="Far from ½ one term drowns the other: set step_weight, or reward_scale for 10/0 "
        "rewards.",
    ),
    Measure(
        name="above_one",
        group="spread",
        kind="share",
        meaning="Steps with |credit| > 1.",
        action="Where high, check reward_scale, or clip and normalise in the trainer.",
    ),
    Measure(
        name="interquartile_range",
        group="spread",
        kind="number",
        meaning="Third quartile of the credit less the first.",
        action="Scales step sizes: keep it alike when two methods are compared in training.",
    ),
    Measure(
        name="failed_variance",
        group="spread",
        kind="number",
        meaning="Variance of the credit inside failed trajectories, over the variance of all "
        "credit.",
        action="0 blames every step of a failure alike; high values need evidence (peer_coverage).",
    ),
    Measure(
        name="positive_in_failures",
        group="spread",
        kind="share",
        meaning="Steps of failed trajectories with positive credit.",
        action="Read some with `workbench explain` to see whether they are good or only early.",
    ),
    Measure(
        name="sign_disagreement",
        group="spread",
        kind="share",
        meaning="Steps whose credit and whose trajectory's reward against its group have other "
        "signs.",
        action="These steps are what the step term changes: read some before you trust them.",
    ),
    Measure(
        name="held_out_gain",
        group="consistency",
        kind="number",
        meaning="1 − squared error of the baseline on a rollout held out / that of the plain "
        "mean of the others.",
        action="Above 0 states predict returns; below 0 the baseline adds noise: `workbench tune`, "
        "other keys, or the plain mean.",
    ),
    Measure(
        name="leave_one_out_rank",
        group="consistency",
        kind="correlation",
        meaning="Mean rank correlation inside a group with the credit after one rollout is "
        "dropped.",
        action="Below .9 one rollout decides the order of the others' steps: more rollouts.",
    ),
    Measure(
        name="split_half",
        group="consistency",
        kind="correlation",
        meaning="Rank correlation inside a group of a step's credit against two disjoint halves "
        "of the other rollouts. Reliability only.",
        action="Do not choose by it: it rises as everything is merged. Low values ask for more "
        "rollouts.",
    ),
    Measure(
        name="time_in_winners",
        group="placebo",
        kind="correlation",
        meaning="Rank correlation of credit and steps-to-go inside successful trajectories.",
        action="Near −1 time is credited as quality: compare at equal step_index, or γ = 1.",
    ),
    Measure(
        name="position",
        group="placebo",
        kind="correlation",
        meaning="Rank correlation of credit and step_index inside unsuccessful trajectories.",
        action="Far from 0 beyond the shuffled range: position alone would give the same credit.",
    ),
    Measure(
        name="action_length",
        group="placebo",
        kind="correlation",
        meaning="Rank correlation of credit and length of the action text inside trajectories.",
        action="Beyond the shuffled range the policy may learn to write longer or shorter.",
    ),
    Measure(
        name="observation_length",
        group="placebo",
        kind="correlation",
        meaning="Rank correlation of credit and length of the observation inside trajectories.",
        action="Beyond the shuffled range the state text's size stands in for the state.",
    ),
    Measure(
        name="interval_width",
        group="uncertainty",
        kind="number",
        meaning="Median width of a step's 90 % interval over bootstrapped other rollouts, in "
        "deviations of the credit.",
        action="Above 1 a step's credit is mostly luck of the draw: more rollouts, or shrink it.",
    ),
    Measure(
        name="sign_flip_rate",
        group="uncertainty",
        kind="share",
        meaning="How often a step's sign flips under that bootstrap. Instability, not error.",
        action="Above .2 do not act on signs of single steps (filtering, masking).",
    ),
    Measure(
        name="trajectory_balance",
        group="population",
        kind="number",
        meaning="|mean over trajectories| of the episode term in live groups, in its deviations.",
        action="Far from 0 groups are not centred over trajectories: long ones weigh more, or the "
        "method does not centre.",
    ),
    Measure(
        name="step_balance",
        group="population",
        kind="number",
        meaning="|mean over step rows| of the episode term in live groups, in its deviations.",
        action="0 with trajectory_balance far from 0 means statistics over step rows: "
        "population=trajectories.",
    ),
    Measure(
        name="population_shift",
        group="population",
        kind="number",
        meaning="|mean reward over step rows − over trajectories| in live groups, in group "
        "deviations.",
        action="What statistics over step rows would do here; above .1 never mix the two.",
    ),
    Measure(
        name="copied_rows",
        group="population",
        kind="share",
        meaning="Rows of the source that were copies of another.",
        action="A trainer that counts them shifts its statistics: count_copies reproduces it.",
    ),
    Measure(
        name="invalid_actions",
        group="population",
        kind="share",
        meaning="Steps whose action the environment could not parse.",
        action="With a penalty they shift mean and deviation for everyone: see dead_credit.",
    ),
    Measure(
        name="dead_credit",
        group="population",
        kind="share",
        meaning="Share of the episode term's size that lies in groups of equal rewards, by kind.",
        action="There only penalties, a raw group of one or rounding noise can give it: "
        "invalid_penalty=0, group_of_one=zero.",
        places="kind",
    ),
    Measure(
        name="saturated_rate",
        group="population",
        kind="share",
        meaning="Groups with successes and failures whose success rate p is 0 or 1 in the success "
        "weight.",
        action="p says nothing there: log `success`, or set reward_scale to what a success pays.",
    ),
    Measure(
        name="dialect_distance",
        group="population",
        kind="number",
        meaning="Mean |dialect − default| of the same method on this log, in deviations of the "
        "default.",
        action="What it means here to follow that code base; the note names the field that does "
        "it.",
        places="dialect",
        listed=True,
    ),
    Measure(
        name="logged_within",
        group="agreement",
        kind="share",
        meaning="Steps within 1e-4 of the advantage that the trainer itself used.",
        action="Below .98 this is not what was trained on: see closest_to_logged.",
    ),
    Measure(
        name="logged_largest_difference",
        group="agreement",
        kind="number",
        meaning="Largest difference from the advantage that the trainer itself used.",
        action="Read the step named in where with `workbench explain`.",
        places="step",
        listed=True,
    ),
    Measure(
        name="logged_rank",
        group="agreement",
        kind="correlation",
        meaning="Rank correlation with the advantage that the trainer itself used.",
        action="Near 1 with logged_within low: only scale or centring differ.",
    ),
    Measure(
        name="closest_to_logged",
        group="agreement",
        kind="share",
        meaning="Steps that the closest known method or dialect has within 1e-4 of the trainer's.",
        action="Score with the named one to continue that run; its traits are what to mend.",
        places="method",
        listed=True,
    ),
    Measure(
        name="merged_groups",
        group="agreement",
        kind="share",
        meaning="Groups that the trainer's own advantage contradicts: it does not sum to 0 "
        "there, equal rewards differ in it, or there are k times as many rollouts as elsewhere.",
        action="Look whether tasks were merged that differ in what the log lacks, such as an "
        "image; a trainer that centres over its batch does the first of these too.",
    ),
    Measure(
        name="label_agreement",
        group="agreement",
        kind="number",
        meaning="With a column of the log: rank correlation for numbers, for yes/no the "
        "probability that a yes has more credit than a no.",
        action="The nearest thing to truth on a real log: prefer the credit with the higher one.",
    ),
    Measure(
        name="label_sign_agreement",
        group="agreement",
        kind="share",
        meaning="Steps with the sign of a column of numbers, where neither is 0.",
        action="A weak measure: one return per step is noisy. Read label_agreement first.",
    ),
    Measure(
        name="groups_needed",
        group="power",
        kind="number",
        meaning="Groups of this kind until a two-sided paired t-test (5 %) tells two credits "
        "apart with 80 % probability: ((1.96 + 0.84) · deviation / mean)² of the difference a "
        "group.",
        action="With fewer groups than that, report a tie.",
        places="the other credit",
    ),
    Measure(
        name="likely_secrets",
        group="privacy",
        kind="number",
        meaning="Different texts that look like keys, tokens, passwords or mail addresses.",
        action="Before sharing: --redact likely for reports and exports. It knows forms, not "
        "meanings, so nothing found is no proof.",
        places="what they look like",
        listed=True,
    ),
)

MEASURES: Mapping[str, Measure] = {measure.name: measure for measure in _ALL}
"""All measures by name, in the order in which they are shown."""
