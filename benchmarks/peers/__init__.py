"""The same flows in five libraries, each behind one small interface; see ``benchmarks.flows_vs_peers``."""
