"""`python -m phototriage`, the same as `phototriage`."""

import sys

from phototriage.cli.command import main

if __name__ == "__main__":  # not where a worker process imports it again
    sys.exit(main())
