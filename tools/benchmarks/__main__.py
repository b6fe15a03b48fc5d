"""``tools/bench NAME``: run one benchmark, print its tables, check its limits."""

from __future__ import annotations

import argparse
import importlib
import sys

from tools.benchmarks.report import Report, write_section

NAMES = ("frontend", "daemon", "startup", "latency", "models")


def main() -> int:
    """Run the benchmark that the command line names; 1 when a limit is exceeded."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    parser = argparse.ArgumentParser(prog="tools/bench")
    parser.add_argument("benchmark", choices=NAMES)
    parser.add_argument("--smoke", action="store_true", help="short run with generous limits, for CI")
    parser.add_argument("--check", action="store_true", help="fail when a limit is exceeded")
    parser.add_argument("--write-docs", action="store_true", help="replace the section of docs/benchmarks.md")
    module = importlib.import_module(f"tools.benchmarks.{name}") if name in NAMES else None
    if module is not None:
        module.add_arguments(parser)
    options = parser.parse_args()
    assert module is not None, "argparse has refused other names"  # noqa: S101
    report: Report = module.run(options)
    text = report.markdown(name)
    print(text)
    if options.write_docs:
        if options.smoke:
            parser.error("--smoke runs are too short for the documentation")
        write_section(name, text)
    exceeded = [limit for limit in report.limits if not limit.holds(smoke=options.smoke)]
    for limit in exceeded:
        print(f"EXCEEDED: {limit.name}: {limit.value:.3g}{limit.unit}", file=sys.stderr)
    return 1 if exceeded and (options.check or options.smoke) else 0


if __name__ == "__main__":
    sys.exit(main())
