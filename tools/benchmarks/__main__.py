"""``tools/bench NAME``: run a benchmark, print its tables, check its limits."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from tools.benchmarks.report import write_section

NAMES = (
    "frontend",
    "daemon",
    "many",
    "startup",
    "latency",
    "beside",
    "together",
    "decoding",
    "models",
    "slow-device",
)
_COMMON = ("--check", "--write-docs")
"""Options that change nothing about what is measured."""


def main() -> int:
    """Run the benchmark that the command line names, or all of them; 1 when a limit is exceeded."""
    name, *arguments = sys.argv[1:] or [""]
    if name == "all":
        return max(_run(each, arguments) for each in NAMES)
    if name not in NAMES:
        parser = _parser()
        parser.add_argument("benchmark", choices=["all", *NAMES], help="NAME --help shows its own options")
        parser.parse_args()
    return _run(name, arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tools/bench")
    parser.add_argument("--smoke", action="store_true", help="short run with generous limits, for CI")
    parser.add_argument("--check", action="store_true", help="fail when a limit is exceeded")
    parser.add_argument("--write-docs", action="store_true", help="replace the section of docs/benchmarks.md")
    return parser


def _run(name: str, arguments: Sequence[str]) -> int:
    module = importlib.import_module(f"tools.benchmarks.{name.replace('-', '_')}")
    parser = _parser()
    parser.prog += f" {name}"
    module.add_arguments(parser)
    options = parser.parse_args(arguments)
    if options.smoke and options.write_docs:
        parser.error("--smoke runs are too short for the documentation")
    report = module.run(options)
    text = report.markdown([name, *(argument for argument in arguments if argument not in _COMMON)])
    print(text, end="\n\n", flush=True)
    if options.write_docs:
        write_section(name, text)
    exceeded = [limit for limit in report.limits if not limit.holds(smoke=options.smoke)]
    for limit in exceeded:
        print(f"EXCEEDED: {limit.name}: {limit.value:.3g}{limit.unit}", file=sys.stderr)
    return 1 if exceeded and (options.check or options.smoke) else 0


if __name__ == "__main__":
    sys.exit(main())
