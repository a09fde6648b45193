// Which key does what.

/** What the help says: keys and what they do. */
export const HELP = [
  ["j k", "next, previous step"],
  ["J K", "next, previous rollout"],
  ["g G", "next, previous group"],
  ["[ ]", "previous, next step with |A| above 1 σ"],
  ["x X", "next, previous step on whose sign the methods differ"],
  [". ,", "next, previous step of the list that you came from"],
  ["1 … 9", "the method that leads"],
  ["/", "find in this group"],
  ["n N", "next, previous place where it was found"],
  ["t", "thoughts open or folded"],
  ["o", "this step open or folded"],
  ["i", "all columns and tokens of this step"],
  ["c", "compare with another rollout"],
  ["v", "yet another one"],
  ["m", "mark: pivotal +, pivotal −, none"],
  ["e", "write a note on this step"],
  ["Home End", "first, last step"],
  ["?", "these keys"],
  ["Esc", "close"],
];

/** Keys that only the app answers, since they ask for more of the log or write into its workspace. */
export const ANSWERED = ["i", "m", "e"];

/** Key -> what it does now; one that does nothing returns false, and the key is left alone. */
export function actions(view, event) {
  const { at, g } = view;
  const inside = view.app.contains(event.target);
  const inSide = view.side.contains(event.target);
  const found = {
    j: () => view.goStep(at.step + 1),
    k: () => view.goStep(at.step - 1),
    J: () => view.goRollout(at.rollout + 1),
    K: () => view.goRollout(at.rollout - 1),
    g: () => view.goGroup(g.groups.index + 1),
    G: () => view.goGroup(g.groups.index - 1),
    "]": () => view.jumpLarge(1),
    "[": () => view.jumpLarge(-1),
    x: () => view.jumpFlip(1),
    X: () => view.jumpFlip(-1),
    ".": () => view.goListed(1),
    ",": () => view.goListed(-1),
    t: () => view.toggleThoughts(),
    o: () => view.toggleStep(),
    i: () => view.toggleColumns(),
    c: () => view.toggleBeside(),
    v: () => view.nextBeside(),
    m: () => view.mark(),
    e: () => view.write(),
    "/": () => view.openFind(),
    n: () => view.nextHit(1),
    N: () => view.nextHit(-1),
    "?": () => view.toggleHelp(),
    Home: () => view.goStep(0),
    End: () => view.goStep(view.length - 1),
    Escape: () => {
      if (view.beside !== null) return view.setBeside(null);
      return view.query ? view.closeFind() : false;
    },
  };
  for (let m = 1; m <= 9; m++) found[m] = () => view.setLead(m - 1);
  if (view.readonly) for (const key of ANSWERED) found[key] = () => view.say("that is in the app: a report keeps and asks nothing");
  if (!inside) return found;
  return {
    ...found,
    ArrowDown: () => (inSide ? view.goRollout(at.rollout + 1) : view.goStep(at.step + 1)),
    ArrowUp: () => (inSide ? view.goRollout(at.rollout - 1) : view.goStep(at.step - 1)),
  };
}
