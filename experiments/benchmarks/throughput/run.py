"""EvoPrompt-GA from end to end against a server with a fixed delay: how busy it keeps the server, and what a call costs.

    python experiments/benchmarks/throughput/run.py                 # population 10, 50 cases, 3 steps, 50 ms, 32 in flight
    python experiments/benchmarks/throughput/run.py --slow 0.05     # every twentieth call ten times slower
    python experiments/benchmarks/throughput/run.py --peers         # promptolution and gepa on the same server, side by side
    python experiments/benchmarks/throughput/run.py --trace         # and where the time of each cohort went

The server runs in a process of its own, every client in another. `reachable` is what a client without any cost of its own could
reach: the same calls in the same order of cohorts, simulated. `served` is how long the server's answers really took, as a share of its
delay. The others are installed into an environment of their own
(`--peer-python` names one that is there).
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tracing import shown as traced

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
PEERS = ("promptolution==2.3.0", "gepa==0.1.4", "litellm", "pandas")
BARS = {"inside": 27.0, "cpu": 0.5, "repeated": 0, "wall": 1.15}


def reachable(cohorts: Sequence[Sequence[int]], given: dict[str, Any], draws: int = 100) -> tuple[float, float]:
    """Mean in flight and wall / ideal of a client that costs nothing, with one cohort after another."""
    rng, most = random.Random(0), given["in_flight"]
    area = total = 0.0
    for _ in range(draws if given["slow"] else 1):

        def delay() -> float:
            return float(given["delay"] * (10 if rng.random() < given["slow"] else 1))

        now = delay()  # the call before the run that finds out whether the server can be asked
        area += now
        for asked, evaluated in cohorts:
            # (hour, genomes whose cases can be asked from then on); what can be asked waits in a line.
            line = [1] * asked + [0] * (given["cases"] * (evaluated - asked))
            inside: list[tuple[float, int]] = []
            while line or inside:
                while line and len(inside) < most:
                    opens, took = line.pop(0), delay()
                    area += took
                    heapq.heappush(inside, (now + took, opens))
                now, opens = heapq.heappop(inside)
                line += [0] * (given["cases"] * opens)
        total += now
    return area / total, total * most / area


def client(python: str, name: str, url: str, given: dict[str, Any]) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}/stats"):
        pass
    words = [python, str(HERE / "clients.py"), name, url, json.dumps(given)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)} if name == "llmevo" else dict(os.environ)
    done = subprocess.run(words, capture_output=True, text=True, env=env, timeout=900)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        raise SystemExit(f"{name} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    with urllib.request.urlopen(f"{url}/stats") as answer:
        return {**json.loads(lines[-1]), **json.load(answer)}


def row(name: str, found: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    calls = found["requests"]
    return {
        "name": name,
        "calls": calls,
        "cpu": found["cpu"] / calls * 1e3,
        "inside": found["inside"],
        "repeated": calls - found["distinct"],
        "seconds": found["wall"],
        "wall": found["wall"] / (found["work"] / given["in_flight"]),
        "late": found["served"] / found["work"],
        "rate": calls / found["wall"],
        "evaluations": found.get("evaluations", 0),
    }


def shown(one: dict[str, Any]) -> str:
    return (
        f"{one['name']:20} {one['calls']:6} {one['cpu']:9.3f} {one['inside']:10.1f} {one['repeated']:9} {one['seconds']:8.2f} "
        f"{one['wall']:11.2f} {one['late']:7.3f} {one['rate']:9.0f}"
    )


def peer_python(given: str | None) -> str:
    if given:
        return given
    home = Path(tempfile.gettempdir()) / "llmevo-throughput-peers"
    python = home / "bin" / "python"
    if not (home / "complete").exists():
        print(f"installing {', '.join(PEERS)} into {home}: some minutes", flush=True)
        venv.create(home, with_pip=True, clear=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *PEERS], check=True)
        (home / "complete").touch()
    return str(python)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--population", type=int, default=10)
    parser.add_argument("--cases", type=int, default=50)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--slots", type=int, default=1, help="cohorts that are open at a time; more than 1 is another algorithm")
    parser.add_argument("--in-flight", type=int, default=32)
    parser.add_argument("--delay", type=float, default=0.05)
    parser.add_argument("--slow", type=float, default=0.0, help="share of calls that take ten times as long")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--folder", default=str(HERE), help="where the run folder is made: its disk is part of the measurement")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--peer-python")
    parser.add_argument("--trace", action="store_true", help="print where the time of each cohort went")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    options = parser.parse_args()
    given = {name: value for name, value in vars(options).items() if name not in ("json", "peers", "peer_python", "trace")}
    given["calls"] = 2000
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        port = Path(folder) / "port"
        server = subprocess.Popen([sys.executable, str(HERE / "server.py"), str(port), str(given["delay"]), str(given["slow"])])
        try:
            while not port.exists():
                time.sleep(0.02)
            url = f"http://127.0.0.1:{port.read_text()}/v1"
            print(f"{given}; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors", flush=True)
            heads = ("client", "calls", "CPU ms", "in flight", "repeated", "seconds", "wall/ideal", "served", "calls/s")
            print("{:20} {:>6} {:>9} {:>10} {:>9} {:>8} {:>11} {:>7} {:>9}".format(*heads))

            def one(python: str, name: str) -> dict[str, Any]:
                found = client(python, name, url, given)
                rows.append(row(name, found, given))
                print(shown(rows[-1]), flush=True)
                return found

            for _ in range(given["rounds"]):
                one(sys.executable, "aiohttp")
                found = one(sys.executable, "llmevo")
                rows[-1]["times_aiohttp"] = rows[-1]["cpu"] / rows[-2]["cpu"]
                if given["slots"] == 1:
                    inside, wall = reachable(found["cohorts"], given)
                    print(f"{'  reachable':20} {'':6} {'':9} {inside:10.1f} {'':9} {'':8} {wall:11.2f}", flush=True)
                    rows[-1]["reachable"] = {"inside": inside, "wall": wall}
                    if options.trace:
                        print(traced(found, found["events"], given), flush=True)
            if options.peers:
                python = peer_python(options.peer_python)
                given["metric_calls"] = rows[-1]["calls"]
                one(python, "promptolution")
                one(python, "gepa")
        finally:
            server.terminate()
            server.wait()
    if options.json:
        options.json.write_text(json.dumps({"settings": given, "bars": BARS, "load": os.getloadavg()[0], "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
