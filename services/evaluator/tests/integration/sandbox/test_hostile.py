"""Every attack gets the right verdict, and the task after it runs as if nothing had happened."""

from __future__ import annotations

import platform
from dataclasses import dataclass

import pytest

from forge_common.contracts.scorecard import Outcome
from forge_evaluator.benchmarks import Case, CodeCheck, Task
from forge_evaluator.sandbox import Answer, End, Job, Limits, Pool, Walls
from forge_evaluator.scorers import Answered
from forge_evaluator.scorers.code import score

pytestmark = pytest.mark.integration

# Hostile answers to `solve(n)`, which should return n * n.
WRONG, ERROR, TIMEOUT, DIED, OOM = (
    Outcome.WRONG, Outcome.ERROR, Outcome.TIMEOUT, Outcome.DIED, Outcome.OOM,
)  # fmt: skip


@dataclass(frozen=True)
class Hostile:
    name: str
    code: str
    outcomes: frozenset[Outcome]


def _case(name: str, code: str, *outcomes: Outcome) -> Hostile:
    return Hostile(name, code, frozenset(outcomes))


def _try(name: str, *body: str) -> Hostile:
    """An escape: when every line of `body` works, the right answer is returned, so passing means having escaped."""
    lines = "\n".join(f"    {line}" for line in body)
    return _case(name, f"import ctypes, os, socket, sys\ndef solve(n):\n{lines}\n    return n * n\n", ERROR)


_LIBC = "c = ctypes.CDLL(None, use_errno=True)"


def _call(name: str, call: str) -> Hostile:
    return _try(name, _LIBC, f"r = {call}", "assert r >= 0, os.strerror(ctypes.get_errno())")


FAKES = (
    _case("leaves with status 0", "import os\nos._exit(0)", DIED),
    _case("leaves with status 0 when called", "import os\ndef solve(n):\n    os._exit(0)", DIED),
    _case("raises SystemExit(0)", "import sys\ndef solve(n):\n    sys.exit(0)", ERROR),
    _case("prints PASSED", "def solve(n):\n    print('PASSED 1 of 1')", WRONG),
    _case("object equal to all", "class E:\n    def __eq__(s, o): return True\ndef solve(n):\n    return E()", WRONG),
    _case("int equal to all", "class E(int):\n    def __eq__(s, o): return True\n    __hash__ = int.__hash__\ndef solve(n):\n    return E(0)", WRONG),
    _case("class spoof", "class E:\n    __class__ = int\n    def __eq__(s, o): return True\ndef solve(n):\n    return E()", WRONG),
    _case("no AssertionError", "import builtins\nbuiltins.AssertionError = type('X', (Exception,), {})\ndef solve(n):\n    return 0", WRONG),
    _case("reads expected from frames", """
import sys
import time
def solve(n):
    f = sys._getframe()
    while f:
        for k, v in {**f.f_globals, **f.f_locals}.items():
            if 'expected' in k or 'answer' in k and isinstance(v, int):
                return v
        f = f.f_back
""", WRONG),
    _case("searches the heap for the answer", """
import gc
def solve(n):
    for o in gc.get_objects():
        if isinstance(o, dict) and 'expected' in o:
            return o['expected']
        if type(o) is list and len(o) == 2 and o[0] == [n]:
            return o[1]
""", WRONG),
    _case("patches the server", """
import sys
import time
def solve(n):
    m = sys.modules['forge_evaluator.sandbox.inside.task']
    m._perform = lambda asked, namespace: {'value': True, 'passed': True, 'outcome': 'passed'}
    return True
""", WRONG),
    _case("patches json", "import json\njson.dumps = lambda *a, **k: '{\"value\": true, \"passed\": 1}'\ndef solve(n):\n    return 0", WRONG),
    _case("patches type", "import builtins\nbuiltins.type = lambda *a: int\nbuiltins.isinstance = lambda *a: True\ndef solve(n):\n    return object()", WRONG, ERROR, DIED),
    _case("jumps by settrace", """
import sys
import time
def tracer(frame, event, arg):
    frame.f_trace_lines = True
    return tracer
def solve(n):
    sys.settrace(tracer)
    return None
""", WRONG),
    _case("atexit with status 0", "import atexit, os\natexit.register(lambda: os._exit(0))\ndef solve(n):\n    raise ValueError", ERROR),
    _case("excepthook with status 0", "import os, sys\nsys.excepthook = lambda *a: os._exit(0)\ndef solve(n):\n    raise ValueError", ERROR),
    _case("writes verdicts to every descriptor", """
import os, struct
def solve(n):
    data = b'{"value": true, "outcome": "passed", "exit": 0, "signal": null}'
    for fd in range(64):
        try:
            os.write(fd, struct.pack('!I', len(data)) + data)
        except OSError:
            pass
    return 0
""", WRONG),
    _case("speaks garbage", "import os\ndef solve(n):\n    os.write(3, b'\\xff' * 64)\n    return 0", ERROR),
    _case("speaks broken JSON", "import os\ndef solve(n):\n    os.write(3, b'\\0\\0\\0\\x02{[')\n    return 0", ERROR),
    _case("speaks deep JSON", "import os\ndef solve(n):\n    os.write(3, (500000).to_bytes(4, 'big') + b'[' * 500000)\n    return 0", ERROR),
    _case("speaks a deep value", "import os\ndef solve(n):\n    d = b'{\"value\":' + b'[' * 900 + b']' * 900 + b'}'\n    os.write(3, len(d).to_bytes(4, 'big') + d)\n    return 0", ERROR),
    _case("raises half a character", "def solve(n):\n    raise ValueError('\\ud800')", ERROR),
    _case("returns half a character", "def solve(n):\n    return '\\ud800'", WRONG),
    _case("a constant too large to print", "def solve(n):\n    return 0x" + "f" * 9000, WRONG),
    _case("looks for the benchmark", """
import os
def solve(n):
    for root, _, names in os.walk('/'):
        for name in names:
            if name.endswith('.jsonl'):
                return open(os.path.join(root, name)).read()
    return None
""", WRONG, TIMEOUT),
    _case("replaces the clock", "import time\ntime.time = time.monotonic = lambda: 0\ndef solve(n):\n    while True: pass", TIMEOUT),
    _case("float for int", "def solve(n):\n    return float(n * n)", WRONG),
    _case("no such function", "def other(n):\n    return n * n", ERROR),
)  # fmt: skip

BOMBS = (
    _case("busy loop", "def solve(n):\n    while True: pass", TIMEOUT),
    _case("busy loop on import", "while True: pass\ndef solve(n): pass", TIMEOUT),
    _case("ignores all signals and sleeps", """
import signal, time
def solve(n):
    for s in range(1, 65):
        try: signal.signal(s, signal.SIG_IGN)
        except (OSError, ValueError): pass
    time.sleep(1000)
""", TIMEOUT),
    _case("catches everything", "def solve(n):\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass", TIMEOUT),
    _case("regular expression bomb", "import re\ndef solve(n):\n    return re.match('(a+)+$', 'a' * 60 + 'b')", TIMEOUT),
    _case("tower of powers", "def solve(n):\n    return 10 ** 10 ** 10", TIMEOUT, OOM),
    _case("huge int to text", "import sys\ndef solve(n):\n    getattr(sys, 'set_int_max_str_digits', id)(0)\n    return str(7 ** 5_000_000)", TIMEOUT, WRONG),
    # Touching half a gigabyte takes most of the second that the test grants on a busy machine: either limit may be first.
    _case("memory bomb", "def solve(n):\n    x = []\n    while True: x.append(bytearray(1 << 20))", OOM, TIMEOUT),
    _case("8 GB at once", "def solve(n):\n    return bytearray(8 << 30)", OOM),
    _case("fork bomb", "import os\ndef solve(n):\n    while True: os.fork()", ERROR),
    _case("thread bomb", "import threading, time\ndef solve(n):\n    while True: threading.Thread(target=time.sleep, args=(99,), daemon=True).start()", ERROR, OOM),
    _case("descriptor bomb", "import os\ndef solve(n):\n    while True: os.dup(0)", ERROR),
    _case("fills the disk", "def solve(n):\n    i = 0\n    while True:\n        i += 1\n        open(f'/tmp/{i}', 'wb').write(b'x' * 4_000_000)", ERROR),
    _case("one huge file", "def solve(n):\n    f = open('/tmp/x', 'wb')\n    while True: f.write(b'x' * 1_000_000)", ERROR),
    _case("fills the inodes", "def solve(n):\n    i = 0\n    while True:\n        i += 1\n        open(f'/tmp/{i}', 'w').close()", ERROR),
    _case("endless output", "import sys\ndef solve(n):\n    while True: sys.stdout.write('x' * 10000)", TIMEOUT),
    _case("50 MB result", "def solve(n):\n    return 'x' * 50_000_000", WRONG),
    _case("deep result", "def solve(n):\n    x = []\n    for _ in range(100_000): x = [x]\n    return x", WRONG),
    _case("doubling result", "def solve(n):\n    x = [1]\n    for _ in range(50): x = [x, x]\n    return x", WRONG),
    _case("cyclic result", "def solve(n):\n    x = []\n    x.append(x)\n    return x", WRONG),
    _case("bottomless recursion", "import sys\nsys.setrecursionlimit(10 ** 9)\ndef solve(n):\n    return solve(n)", DIED, TIMEOUT, OOM, ERROR),
    _case("zip bomb", "import zlib\ndef solve(n):\n    d = zlib.compress(bytes(200 << 20))\n    x = [zlib.decompress(d) for _ in range(9)]", OOM, TIMEOUT),
    _case("segmentation fault", "import ctypes\ndef solve(n):\n    ctypes.string_at(0)", DIED),
    _case("aborts", "import os\ndef solve(n):\n    os.abort()", DIED),
    _case("error with a hostile text", "class E(Exception):\n    def __str__(s):\n        while True: pass\ndef solve(n):\n    raise E", TIMEOUT),
    _case("deep nesting in the source", "def solve(n):\n    return " + "(" * 150 + "0" + ")" * 150, WRONG, ERROR),
)  # fmt: skip

ESCAPES = (
    _try("TCP to this machine", "socket.socket().connect_ex(('127.0.0.1', 80))"),
    _try("UDP", "socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 53))"),
    _try("DNS", "socket.getaddrinfo('localhost.example', 80)"),
    _try("abstract unix socket", "socket.socket(socket.AF_UNIX).bind('\\0forge')"),
    _try("datagrams to other programs' sockets", "a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)", "a.sendto(b'x', '/run/systemd/journal/socket')"),
    _try("netlink", "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)"),
    _try("password file", "open('/etc/passwd').read()"),
    _try("home of root", "os.listdir('/root/.ssh')"),
    _try("environment of the judge", "assert os.environ['FORGE_KEY']"),
    _try("environment of all processes", "d = [open(f'/proc/{p}/environ', 'rb').read() for p in os.listdir('/proc') if p.isdigit()]", "assert d"),
    _try("memory of its parent", "open(f'/proc/{os.getppid()}/mem', 'rb').read(1)"),
    _try("its parent's root", "os.listdir('/proc/1/root/etc')"),
    _try("kills its parent", "assert os.getppid(), 'none in sight'", "os.kill(os.getppid(), 9)"),
    _try("kills everything", "os.kill(-1, 9)"),
    _try("kills its group", "os.killpg(0, 9)"),
    _try("writes to the system", "[open(p + '/forge', 'w') for p in ('/usr', '/etc', '/var', '/home', '/root', '/dev', '/opt', '/')]"),
    _try("writes beside the interpreter", "open(os.path.dirname(os.__file__) + '/forge.py', 'w')"),
    _try("changes modes", "os.chmod('/tmp', 0o777)"),
    _try("makes a device", "os.mknod('/tmp/d', 0o660 | 0o060000, os.makedev(8, 0))"),
    _try("becomes root", "os.setuid(0)"),
    _try("starts a program", "os.execv('/bin/sh', ['sh', '-c', 'true'])"),
    _try("starts a process", "os.waitpid(os.fork(), 0)"),
    _try("leaves a daemon behind", "os.fork() or os.setsid()"),
    _try("raises its limits", "import resource", "resource.setrlimit(resource.RLIMIT_CPU, (99, 99))"),
    _try("limits others", "import resource", "resource.prlimit(1, resource.RLIMIT_CPU, (1, 1))"),
    _try("signals by file owner", "import fcntl", "fcntl.fcntl(0, fcntl.F_SETOWN, 1)"),
    _try("types into the terminal", "import fcntl, termios", "fcntl.ioctl(0, termios.TIOCSTI, b'x')"),
    _call("traces its parent", "c.ptrace(16, os.getppid() or 1, 0, 0)"),
    _call("mounts", "c.mount(b'none', b'/tmp', b'tmpfs', 0, None)"),
    _call("unmounts", "c.umount2(b'/tmp', 2)"),
    _call("new user namespace", "c.unshare(0x10000000)"),
    _call("clones into a namespace", "c.syscall(56, 0x10000000 | 17, 0, 0, 0, 0)"),
    _call("bpf", "c.syscall(321, 0, 0, 0)"),
    _call("keyrings", "c.syscall(250, 0, -3, 1)"),
    _call("io_uring", "c.syscall(425, 1, ctypes.create_string_buffer(120))"),
    _call("userfaultfd", "c.syscall(323, 1)"),
    _call("performance events", "c.syscall(298, ctypes.create_string_buffer(128), 0, -1, -1, 0)"),
    _call("anonymous files", "c.memfd_create(b'x', 0)"),
    _call("shared memory", "c.shmget(0, 4096, 0o1600)"),
    _call("own time", "c.settimeofday(ctypes.create_string_buffer(16), None)"),
    _call("host name", "c.sethostname(b'x', 1)"),
    _call("reads another process", "c.syscall(310, os.getppid() or 1, 0, 0, 0, 0, 0)"),
    _call("drops the filter", "c.prctl(22, 0, 0, 0, 0)"),
)  # fmt: skip

ALL = (*FAKES, *BOMBS, *ESCAPES)


GOLD = "```python\ndef solve(n):\n    return n * n\n```"
CHECK = CodeCheck(entry_point="solve", tests=(Case(args=(3,), expected=9), Case(args=(4,), expected=16)))
TASK = Task(id="square", group="coding", prompt="Square n.", gold_answer=GOLD, check=CHECK)
GOOD = "def solve(n):\n    return n * n\n"
LOOK_AROUND = """
import os, threading
def look():
    names = sorted(set(globals()) - {'__builtins__'})
    return [os.listdir('/tmp'), os.getpid(), os.listdir('/proc'), threading.active_count(), names]
"""


def judge(pool, code):
    return score(TASK, CHECK, Answered(text=f"```python\n{code}\n```"), pool)


@pytest.mark.parametrize("hostile", ALL, ids=lambda case: case.name)
def test_a_hostile_answer_gets_its_verdict_and_leaves_nothing_behind(pool, hostile, monkeypatch):
    monkeypatch.setenv("FORGE_KEY", "secret")
    if "syscall(" in hostile.code and platform.machine() != "x86_64":
        pytest.skip("system call numbers are of x86-64")

    verdict = judge(pool, hostile.code)
    verdict.model_dump_json()

    assert verdict.outcome in hostile.outcomes, verdict
    assert judge(pool, GOOD).outcome is Outcome.PASSED
    if pool.tier.launch.walls in {Walls.BUBBLEWRAP, Walls.NAMESPACES}:
        (around,) = pool.run(Job(LOOK_AROUND, "look", ((),))).replies
        assert around.value == [[], 1, [], 1, ["__name__", "look", "os", "threading"]]


def test_the_suite_is_as_large_as_it_claims():
    assert len(FAKES) >= 15
    assert len(BOMBS) >= 21
    assert len(ESCAPES) >= 21
    assert len(ALL) >= 60
    assert len({case.name for case in ALL}) == len(ALL)


def test_state_does_not_outlive_its_task(pool):
    leave = "import builtins, os\nbuiltins.forge_mark = os.environ['MARK'] = 'here'\ndef solve(n):\n    return n * n\n"
    find = "import builtins, os\ndef solve(n):\n    return [hasattr(builtins, 'forge_mark'), 'MARK' in os.environ]\n"

    assert judge(pool, leave).outcome is Outcome.PASSED
    (found,) = pool.run(Job(find, "solve", ((1,),))).replies

    assert found.value == [False, False]


def test_cpu_time_is_the_limit_and_a_sleeper_meets_the_wall(pool):
    busy = pool.run(Job("def f():\n    while True: pass\n", "f", ((),)))
    with Pool(pool.tier, workers=1, limits=Limits(cpu_s=1, wall_s=1)) as impatient:
        asleep = impatient.run(Job("import time\ndef f():\n    time.sleep(60)\n", "f", ((),)))

    assert (busy.end, asleep.end) == (End.CPU, End.WALL)
    assert busy.cpu_s < 2
    assert asleep.cpu_s < 0.5


def test_answers_travel_whole_whatever_builtin_they_are_made_of(pool):
    code = "def f(x):\n    return x\n"
    values = (
        None, True, -3, {"$int": hex(2**200)}, 1.5, "é\n\0", [1, [2]], {"a": {"b": []}}, {"$tuple": [1, 2]},
        {"$bytes": "00ff"}, {"$complex": [1.0, -2.0]}, {"$dict": [[1, 2]]}, {"$set": [7]},
    )  # fmt: skip

    execution = pool.run(Job(code, "f", tuple((value,) for value in values)))

    assert [reply.value for reply in execution.replies] == list(values)
    assert {reply.kind for reply in execution.replies} == {Answer.VALUE}
