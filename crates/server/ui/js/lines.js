// What differs between two texts, line by line.

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
