"""Attacks in JavaScript and TypeScript: each ends as it should, and the next task finds nothing of it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from forge_evaluator.sandbox import Answer, End, Job, Language, LanguageRefused, Walls

pytestmark = pytest.mark.integration

GOOD = "function solve(n) { return n * n; }"
LOOK = """
const fs = require('node:fs');
function look() { return [fs.readdirSync('/tmp'), process.pid, typeof globalThis.mark, Object.keys(process.env).sort()]; }
"""


@dataclass(frozen=True)
class Hostile:
    """Asked for `solve(3)`, which should be 9. `verdicts`: how it may end."""

    name: str
    code: str
    verdicts: tuple[str, ...]
    language: Language = Language.JAVASCRIPT


def _try(name: str, *body: str) -> Hostile:
    """An escape: where every line of `body` works, the answer is right; so it must not be."""
    head = "const fs = require('node:fs'), net = require('node:net'), cp = require('node:child_process');\n"
    return Hostile(
        name, head + "function solve(n) {\n" + "\n".join(body) + "\nreturn n * n;\n}", ("raised", "died")
    )


FAKES = (
    Hostile("leaves with status 0", "process.exit(0)", ("died",)),
    Hostile("leaves with status 0 when called", "function solve() { process.exit(0) }", ("died",)),
    Hostile("prints PASSED", "function solve() { console.log('PASSED') }", ("wrong",)),
    Hostile(
        "an object that is equal to all",
        "function solve() { return { valueOf: () => 9, toJSON: () => 9, [Symbol.toPrimitive]: () => 9 } }",
        ("unsendable",),
    ),
    Hostile("a number object", "function solve() { return new Number(9) }", ("unsendable",)),
    Hostile(
        "patches JSON",
        "JSON.stringify = () => '{\"value\":true,\"passed\":1}';\nfunction solve() { return 0 }",
        ("wrong", "garbled", "unsendable"),
    ),
    Hostile(
        "patches the file functions",
        "const fs = require('fs');\nfs.writeSync = () => 4;\nfunction solve() { return 0 }",
        ("wrong", "wall"),
    ),
    Hostile(
        "writes verdicts to every descriptor",
        """
const fs = require('fs');
function solve() {
  const body = Buffer.from('{"value":true,"outcome":"passed"}');
  const head = Buffer.alloc(4);
  head.writeUInt32BE(body.length);
  for (let fd = 0; fd < 64; fd++) { try { fs.writeSync(fd, Buffer.concat([head, body])) } catch {} }
  return 0;
}""",
        ("wrong", "died", "wall", "garbled"),
    ),
    Hostile(
        "speaks garbage", "function solve() { require('fs').writeSync(3, '\\xff'.repeat(64)) }", ("garbled",)
    ),
    Hostile(
        "looks for what is expected in its callers",
        "function solve() { try { return solve.caller.arguments[0].expected } catch { return arguments.callee.caller } }",
        ("wrong", "unsendable", "raised"),
    ),
    Hostile(
        "pollutes the prototype",
        "Object.prototype.value = 9; Object.prototype.passed = true;\nfunction solve() { return {} }",
        ("wrong", "raised", "died"),
    ),
    Hostile("a thenable that answers twice", "function solve() { return { then(f) { f(0); f(9) } } }", ("wrong",)),
    Hostile(
        "a type that lies",
        "enum E { NINE = 9 }\nfunction solve(n: number): number { return 'nine' as unknown as number }",
        ("wrong",),
        Language.TYPESCRIPT,
    ),
)  # fmt: skip

BOMBS = (
    Hostile("busy loop", "function solve() { for (;;); }", ("cpu",)),
    Hostile("busy loop on import", "for (;;);", ("cpu",)),
    Hostile("busy loop of microtasks", "async function solve() { for (;;) await 0; }", ("cpu",)),
    Hostile("never settles", "function solve() { return new Promise(() => {}) }", ("raised",)),
    Hostile("regular expression bomb", "function solve() { return /(a+)+$/.test('a'.repeat(60) + 'b') }", ("cpu",)),
    Hostile("memory bomb", "function solve() { const x = []; for (;;) x.push(new Array(1e5).fill(1.5)) }", ("killed", "cpu")),
    Hostile("buffers without end", "function solve() { const x = []; for (;;) x.push(Buffer.alloc(1 << 24, 1)) }", ("raised", "killed", "cpu")),
    Hostile("8 GB at once", "function solve() { return new Uint8Array(8 * 2 ** 30).length && 0 }", ("raised",)),
    Hostile("a string without end", "function solve() { let s = 'x'; for (;;) s += s }", ("raised",)),
    Hostile("bottomless recursion", "function solve(n) { return solve(n) }", ("raised",)),
    Hostile("worker threads without end", "const { Worker } = require('worker_threads');\nfunction solve() { for (;;) new Worker('for(;;);', { eval: true }) }", ("cpu", "died", "killed", "raised")),
    Hostile("50 MB result", "function solve() { return 'x'.repeat(50_000_000) }", ("unsendable",)),
    Hostile("deep result", "function solve() { let x = []; for (let i = 0; i < 1e5; i++) x = [x]; return x }", ("unsendable",)),
    Hostile("cyclic result", "function solve() { const x = []; x.push(x); return x }", ("unsendable",)),
    Hostile("a getter that never returns", "function solve() { return { get a() { for (;;); } } }", ("cpu",)),
    Hostile("an error that never becomes text", "function solve() { const e = new Error(); Object.defineProperty(e, 'message', { get() { for (;;); } }); throw e }", ("cpu",)),
    Hostile("aborts", "function solve() { process.abort() }", ("died",)),
)  # fmt: skip

ESCAPES = (
    Hostile(
        "connects to this machine",
        "function solve(n) { return new Promise((y, no) => require('net').connect(80, '127.0.0.1')"
        ".on('connect', () => y(n * n)).on('error', (e) => e.code === 'ECONNREFUSED' ? y(n * n) : no(e))) }",
        ("raised", "died"),
    ),
    Hostile(
        "sends a datagram",
        "function solve(n) { return new Promise((y, no) => require('dgram').createSocket('udp4').on('error', no)"
        ".send('x', 53, '127.0.0.1', (e) => e ? no(e) : y(n * n))) }",
        ("raised", "died"),
    ),
    Hostile(
        "looks a name up",
        "async function solve(n) { await require('dns').promises.resolve4('localhost.example'); return n * n }",
        ("raised", "died"),
    ),
    _try("starts a program", "if (cp.spawnSync('/bin/true').error) throw Error('refused')"),
    _try("starts a shell", "cp.execSync('true')"),
    _try("starts itself again", "if (cp.spawnSync(process.execPath, ['-e', '0']).error) throw Error('refused')"),
    _try("password file", "fs.readFileSync('/etc/passwd')"),
    _try("home of root", "fs.readdirSync('/root/.ssh')"),
    _try("environment of the judge", "if (!process.env.FORGE_KEY) throw Error('none')"),
    _try("environment of all processes", "if (!fs.readdirSync('/proc').some((p) => +p && fs.readFileSync(`/proc/${p}/environ`))) throw Error('none')"),
    _try("kills its parent", "if (!process.ppid) throw Error('none in sight'); process.kill(process.ppid, 'SIGKILL')"),
    _try("kills everything", "process.kill(-1, 'SIGKILL')"),
    _try("writes to the system", "for (const p of ['/usr', '/etc', '/root', '/dev', '/']) fs.writeFileSync(p + '/forge', 'x')"),
    _try("becomes root", "process.setuid(0)"),
    _try("loads a native library", "process.dlopen({ exports: {} }, '/usr/lib/x86_64-linux-gnu/libm.so.6')"),
    _try("opens the inspector", "require('inspector').open(9229, '127.0.0.1'); if (!require('inspector').url()) throw Error('none')"),
    _try("listens on a path", "net.createServer().listen('/tmp/s').on('error', () => {}); fs.statSync('/tmp/s')"),
    _try("changes modes", "fs.chmodSync('/tmp', 0o777)"),
)  # fmt: skip

ALL = (*FAKES, *BOMBS, *ESCAPES)


@pytest.fixture(scope="module")
def node(pool):
    if not pool.tier.node:
        pytest.skip(f"no Node behind these walls: {pool.tier.description}")
    return pool


def verdict(execution):
    if execution.end is not End.FINISHED:
        return execution.end.value
    if execution.loaded.kind is not Answer.VALUE:
        return execution.loaded.kind.value
    (reply,) = execution.replies
    if reply.kind is not Answer.VALUE:
        return reply.kind.value
    return "right" if reply.value == 9 and type(reply.value) is int else "wrong"


@pytest.mark.parametrize("hostile", ALL, ids=lambda case: case.name)
def test_a_hostile_script_ends_as_it_should_and_leaves_nothing_behind(node, hostile, monkeypatch):
    monkeypatch.setenv("FORGE_KEY", "secret")

    ended = verdict(node.run(Job(hostile.code, "solve", ((3,),), hostile.language)))

    assert ended in hostile.verdicts
    assert verdict(node.run(Job(GOOD, "solve", ((3,),), Language.JAVASCRIPT))) == "right"
    if node.tier.launch.walls in {Walls.BUBBLEWRAP, Walls.NAMESPACES}:
        (around,) = node.run(Job(LOOK, "look", ((),), Language.JAVASCRIPT)).replies
        assert around.value == [[], 1, "undefined", ["OPENSSL_CONF", "TZ", "UV_THREADPOOL_SIZE"]]


def test_a_language_that_does_not_run_here_is_refused_and_not_tried(pool):
    if pool.tier.bash and pool.tier.node:
        pytest.skip("every language runs behind these walls")

    with pytest.raises(LanguageRefused, match="not run in this sandbox") as caught:
        if not pool.tier.node:
            pool.run(Job(GOOD, "solve", ((3,),), Language.JAVASCRIPT))
        pool.run_shell(None)

    assert "bubblewrap" in caught.value.fix
