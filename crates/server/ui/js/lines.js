// What differs between texts, line by line.

// [["same" | "del" | "add", line]...]
export function lineDiff(before, after) {
  const a = before.split("\n"), b = after.split("\n");
  let start = 0, end = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  const x = a.slice(start, a.length - end), y = b.slice(start, b.length - end);
  // the longest common subsequence of what is left, which is little
  const length = Array.from({ length: x.length + 1 }, () => new Uint32Array(y.length + 1));
  for (let i = x.length - 1; i >= 0; i--)
    for (let j = y.length - 1; j >= 0; j--)
      length[i][j] = x[i] === y[j] ? length[i + 1][j + 1] + 1 : Math.max(length[i + 1][j], length[i][j + 1]);
  const out = a.slice(0, start).map(line => ["same", line]);
  let i = 0, j = 0;
  while (i < x.length || j < y.length) {
    if (i < x.length && j < y.length && x[i] === y[j]) { out.push(["same", x[i]]); i++; j++; }
    else if (i < x.length && (j === y.length || length[i + 1][j] >= length[i][j + 1])) out.push(["del", x[i++]]);
    else out.push(["add", y[j++]]);
  }
  return out.concat(a.slice(a.length - end).map(line => ["same", line]));
}

// Both changes of a text, one over the other: of each stretch that `theirs` left as it was in `base`, what `ours` has.
export function merge(base, ours, theirs) {
  const a = matches(base, ours), b = matches(base, theirs);
  const [lines, own, other] = [base, ours, theirs].map(text => text.split("\n"));
  const out = [];
  let i = 0, j = 0, k = 0;
  for (let at = 0; at <= lines.length; at++) {
    if (at < lines.length && (a[at] === undefined || b[at] === undefined)) continue;
    const [x, y] = at < lines.length ? [a[at], b[at]] : [own.length, other.length];
    const untouched = lines.slice(i, at).join("\n") === other.slice(k, y).join("\n") && at - i === y - k;
    out.push(...untouched ? own.slice(j, x) : other.slice(k, y));
    if (at < lines.length) out.push(own[x]);
    [i, j, k] = [at + 1, x + 1, y + 1];
  }
  return out.join("\n");
}

// Where in `after` each line of `before` went.
function matches(before, after) {
  const found = [];
  let i = 0, j = 0;
  for (const [kind] of lineDiff(before, after)) {
    if (kind === "same") found[i] = j;
    if (kind !== "add") i++;
    if (kind !== "del") j++;
  }
  return found;
}
