// Just enough YAML for the page: to write a spec, and to find the line that an error is about.

// A spec in block style. Scalars are written as JSON, which YAML 1.2 reads unchanged.
export function toYaml(object, indent = "") {
  return Object.entries(object).map(([key, value]) => {
    const name = indent + (/^[a-z_][\w.]*$/i.test(key) && !/^(true|false|null)$/i.test(key) ? key : JSON.stringify(key));
    if (isMapping(value)) return `${name}:\n${toYaml(value, `${indent}  `)}`;
    if (!Array.isArray(value) || !value.some(isMapping)) return `${name}: ${JSON.stringify(value)}\n`;
    return `${name}:\n${value.map((item) => `${indent}  - ${JSON.stringify(item)}\n`).join("")}`;
  }).join("");
}

const isMapping = (value) => value !== null && typeof value === "object" && !Array.isArray(value) && Object.keys(value).length > 0;

// The line (from 0) of the deepest part of a JSON pointer that has a line of its own.
export function lineOf(text, pointer) {
  const wanted = pointer.split("/").slice(1).map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
  let best = { depth: 0, line: 0 };
  for (const { path, line } of paths(text)) {
    if (path.length > best.depth && path.every((part, at) => part === wanted[at])) best = { depth: path.length, line };
  }
  return best.line;
}

const KEY = /^("(?:[^"\\]|\\.)*"|'[^']*'|[^\s#'"{[][^#]*?)\s*:(?=\s|$)/;

function* paths(text) {
  const stack = []; // {indent, part, item}: the keys and items around the current line
  const path = () => stack.map(({ part }) => part);
  for (const [line, content] of text.split("\n").entries()) {
    if (!content.trim() || content.trimStart().startsWith("#")) continue;
    let indent = content.search(/\S/);
    let rest = content.slice(indent);
    while (/^-(\s|$)/.test(rest)) {
      let number = 0;
      while (stack.length && (stack.at(-1).indent > indent || (stack.at(-1).indent === indent && stack.at(-1).item))) {
        const left = stack.pop();
        if (left.indent === indent) number = Number(left.part) + 1;
      }
      stack.push({ indent, part: String(number), item: true });
      yield { path: path(), line };
      const [dash] = rest.match(/^-\s*/);
      indent += dash.length;
      rest = rest.slice(dash.length);
    }
    const key = rest.match(KEY)?.[1];
    if (key === undefined) continue;
    while (stack.length && stack.at(-1).indent >= indent) stack.pop();
    stack.push({ indent, part: key.replace(/^["']|["']$/g, ""), item: false });
    yield { path: path(), line };
  }
}
