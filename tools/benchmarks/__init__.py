"""Benchmarks that write docs/benchmarks.md.

Each benchmark is a module beside this one with two functions: ``add_arguments(parser)`` declares
its own options, ``run(options) -> Report`` measures. ``options.smoke`` asks for a short run (a few
seconds) whose ratios are good enough for generous limits.
"""
