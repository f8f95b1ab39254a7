"""`python -m training.embedder`."""

import sys

from training.embedder.job import main

if __name__ == "__main__":  # not where a worker process imports it again
    sys.exit(main())
