"""What a proxy is measured beside: nginx in front of the same upstream, wrk's load, and the CPU time of a process.

For benchmarks only. It times nothing itself.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from forge_common.local.process import free_port, listens, wait_until

NGINX = """
worker_processes 1; worker_rlimit_nofile 16384; daemon off; pid {folder}/pid; error_log stderr crit;
events {{ worker_connections 8192; }}
http {{
  access_log off; client_max_body_size 0; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream origin {{ server 127.0.0.1:{origin}; keepalive 64; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096; keepalive_requests 1000000;
    location / {{
      proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_request_buffering off; proxy_read_timeout 600s;
    }}
  }}
}}
"""
_WRK = """
wrk.method = "POST"; wrk.body = [[{body}]]
{headers}
done = function(summary) io.write("\\nCOUNT " .. summary.requests .. " " .. summary.errors.status .. "\\n") end
"""


def nginx_path() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


@contextmanager
def nginx(origin: int) -> Iterator[tuple[int, psutil.Process]]:
    """One worker that passes everything on to the port `origin`, unbuffered, over kept connections."""
    with tempfile.TemporaryDirectory() as name:
        port, folder = free_port(), Path(name)
        config = folder / "nginx.conf"
        config.write_text(NGINX.format(folder=folder, port=port, origin=origin))
        command = [str(nginx_path()), "-p", str(folder), "-c", str(config)]
        with serving(command, port, log=folder / "log") as process:
            yield port, process


@contextmanager
def serving(
    command: list[str], port: int, *, log: Path, env: Mapping[str, str] | None = None
) -> Iterator[psutil.Process]:
    """A server of ours, from when its port answers until it was told to end."""
    with log.open("ab") as output:
        child = subprocess.Popen(command, stdout=output, stderr=output, env=env)
    try:
        wait_until(lambda: listens(port), child, name=command[0], log=log, timeout_s=60)
        yield psutil.Process(child.pid)
    finally:
        child.terminate()
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def cpu_seconds(process: psutil.Process) -> float:
    """User and system time of a process, its threads and its children."""
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def full_load(
    port: int, path: str, headers: Mapping[str, str], body: bytes, *, seconds: float, connections: int
) -> tuple[int, int]:
    """As many POSTs as can be had, by wrk where it is installed; how many were answered, and how many with an error."""
    if shutil.which("wrk") is None:
        return asyncio.run(_load_by_client(port, _post(path, headers, body), seconds, connections))
    return _load_by_wrk(f"http://127.0.0.1:{port}{path}", headers, body, seconds, connections)


def load_name() -> str:
    return "wrk" if shutil.which("wrk") else "the built-in client, which is slower than wrk"


def _load_by_wrk(
    url: str, headers: Mapping[str, str], body: bytes, seconds: float, connections: int
) -> tuple[int, int]:
    lines = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items())
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_WRK.format(body=body.decode(), headers=lines))
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{max(round(seconds), 1)}s", "-s", script.name, url]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    count, errors = output.rsplit("COUNT", 1)[1].split()
    return int(count), int(errors)


def _post(path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def _load_by_client(port: int, request: bytes, seconds: float, connections: int) -> tuple[int, int]:
    """Each connection asks again as soon as it has its reply, which must name its length."""
    statuses: list[bytes] = []

    async def ask(until: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.monotonic() < until:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: *(\d+)", head)
            await reader.readexactly(int(length[1]) if length else 0)
            statuses.append(head[9:12])
        writer.close()

    until = time.monotonic() + seconds
    await asyncio.gather(*(ask(until) for _ in range(connections)))
    return len(statuses), sum(status != b"200" for status in statuses)
