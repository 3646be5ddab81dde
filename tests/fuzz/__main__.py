"""Fuzzes every target for its share of the time: ``python -m tests.fuzz SECONDS [--only TARGET] [--seed N]``.

Hypothesis makes the inputs. Where atheris is installed, it has half of the time, and coverage guides it. A finding is
told with the smallest input that shows it, and the exit status is 1."""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import time
import traceback

from hypothesis import seed

from tests.fuzz.targets import TARGETS

ENGINES = ("hypothesis", "atheris")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("seconds", type=float, help="how long, for all targets together")
    parser.add_argument("--only", choices=list(TARGETS), action="append", help="these targets alone")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6, help="begin with the same inputs again")
    parser.add_argument("--engine", choices=ENGINES, action="append", help="this one alone makes the inputs")
    options = parser.parse_args()
    names = options.only or list(TARGETS)
    engines = options.engine or [name for name in ENGINES if importlib.util.find_spec(name)]
    print(f"{', '.join(engines)}: seed {options.seed}, {options.seconds:g} s for {len(names)} targets", flush=True)
    findings = 0
    share = options.seconds / len(names) / len(engines)
    for number, name in enumerate(names, options.seed):
        findings += any(_FUZZ[engine](name, share, number) for engine in engines)
    print(f"{findings} of {len(names)} targets have a finding")
    return 1 if findings else 0


def _generated(name: str, seconds: float, first: int) -> bool:
    """Whether there is a finding in time; one round is made in any case."""
    rounds = 0
    until = time.monotonic() + seconds
    while True:
        try:
            seed(first + 1000 * rounds)(TARGETS[name])()
        except BaseException as exc:
            if isinstance(exc, KeyboardInterrupt):
                raise
            print(f"{name}: FOUND {_told(exc)}", flush=True)
            return True
        rounds += 1
        if time.monotonic() >= until:
            print(f"{name}: {rounds} rounds, nothing found", flush=True)
            return False


def _told(exc: BaseException) -> str:
    notes = " ".join(" ".join(getattr(exc, "__notes__", [])).split())
    where = traceback.extract_tb(exc.__traceback__)[-1]
    return f"{type(exc).__name__}: {str(exc)[:300]} ({where.filename}:{where.lineno}) {notes[:600]}"


_GUIDED = """
import sys, atheris
with atheris.instrument_imports(include=["receptor_runner"]):
    from tests.fuzz.targets import TARGETS
atheris.Setup(sys.argv[:1] + sys.argv[2:], TARGETS[sys.argv[1]].hypothesis.fuzz_one_input)
atheris.Fuzz()
"""


def _guided(name: str, seconds: float, first: int) -> bool:
    """atheris ends the process that it fuzzes in, so each target has its own."""
    limits = [f"-max_total_time={max(1, int(seconds))}", f"-seed={first + 1}", "-verbosity=0", "-rss_limit_mb=0"]
    words = [sys.executable, "-c", _GUIDED, name, *limits]
    done = subprocess.run(words, check=False, timeout=seconds * 3 + 60, capture_output=True, text=True)
    print(f"{name}: {'nothing found' if done.returncode == 0 else 'FOUND ' + done.stderr[-2000:]}", flush=True)
    return done.returncode != 0


_FUZZ = {"hypothesis": _generated, "atheris": _guided}


if __name__ == "__main__":
    sys.exit(main())
