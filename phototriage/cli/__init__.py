"""The `phototriage` command: one module a command, and what commands write as tables and pages."""

from phototriage.cli.command import main

__all__ = ["main"]
