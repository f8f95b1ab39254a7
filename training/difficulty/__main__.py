"""`python -m training.difficulty`."""

import sys

from training.difficulty.job import main

if __name__ == "__main__":  # not where a worker process imports it again
    sys.exit(main())
