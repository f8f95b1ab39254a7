"""The `phototriage` command: a module for each command or few that belong together, which adds its options to the
parser (`add_to`) and is called with them (`run`); and the page of thumbnails that `rank` writes.
"""

from phototriage.cli.command import main

__all__ = ["main"]
