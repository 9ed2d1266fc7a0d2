"""The command line: a thin face over ``headwater.api``; nothing here imports torch before a command runs."""

from headwater.cli.app import main

__all__ = ["main"]
