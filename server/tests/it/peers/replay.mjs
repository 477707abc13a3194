// A post-receive hook: replays pushed commits into the emulator through GitHub's git data API, so
// that it knows the very commits that were pushed. Fails when a hash comes out different.
import { execFileSync } from "node:child_process";

const git = (...args) => execFileSync("git", args, { maxBuffer: 1 << 28 });
const lines = (buffer) => buffer.toString().split("\n").filter(Boolean);
const { API, TOKEN } = process.env;
const NONE = /^0+$/;

async function ask(method, path, body) {
  const answer = await fetch(API + path, {
    method,
    headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" },
    body: body && JSON.stringify(body),
  });
  return { status: answer.status, body: await answer.json().catch(() => null) };
}

async function create(kind, body, expected) {
  const { status, body: made } = await ask("POST", `/git/${kind}`, body);
  if (status !== 201 || made.sha !== expected) {
    throw new Error(`${kind} ${expected}: status ${status}, hash ${made?.sha}`);
  }
}

function person(line) {
  const [, name, email, seconds, zone] = /^(.*) <(.*)> (\d+) ([+-]\d{4})$/.exec(line);
  const minutes = (zone[0] === "-" ? -1 : 1) * (+zone.slice(1, 3) * 60 + +zone.slice(3));
  const local = new Date((+seconds + minutes * 60) * 1000).toISOString().slice(0, 19);
  return { name, email, date: `${local}${zone.slice(0, 3)}:${zone.slice(3)}` };
}

async function replay(commit) {
  const raw = git("cat-file", "commit", commit).toString();
  const end = raw.indexOf("\n\n");
  const headers = raw.slice(0, end).split("\n").map((line) => /^(\S+) (.*)$/.exec(line)?.slice(1) ?? []);
  const one = (name) => headers.find(([key]) => key === name)?.[1];
  const tree = [];
  for (const entry of git("ls-tree", "-r", "-z", commit).toString().split("\0").filter(Boolean)) {
    const [, mode, type, sha, path] = /^(\d+) (\w+) (\w+)\t([^]*)$/.exec(entry);
    if (type === "blob") {
      const content = git("cat-file", "blob", sha).toString("base64");
      await create("blobs", { content, encoding: "base64" }, sha);
    }
    tree.push({ mode, type, sha, path });
  }
  await create("trees", { tree }, one("tree"));
  await create("commits", {
    message: raw.slice(end + 2),
    tree: one("tree"),
    parents: headers.filter(([key]) => key === "parent").map(([, sha]) => sha),
    author: person(one("author")),
    committer: person(one("committer")),
  }, commit);
}

async function move(ref, to) {
  const short = ref.replace(/^refs\//, "");
  if (NONE.test(to)) return ask("DELETE", `/git/refs/${short}`);
  const moved = await ask("PATCH", `/git/refs/${short}`, { sha: to, force: true });
  if (moved.status === 200) return;
  const made = await ask("POST", "/git/refs", { ref, sha: to });
  if (made.status !== 201) throw new Error(`${ref}: status ${moved.status}, then ${made.status}`);
}

let input = "";
for await (const chunk of process.stdin) input += chunk;
for (const line of lines(Buffer.from(input))) {
  const [from, to, ref] = line.split(" ");
  if (!NONE.test(to)) {
    const known = NONE.test(from) ? [] : [`^${from}`];
    for (const commit of lines(git("rev-list", "--reverse", "--topo-order", to, ...known))) {
      await replay(commit);
    }
  }
  await move(ref, to);
}
