"""`python -m training.data`."""

import sys

from training.data.loading import main

if __name__ == "__main__":  # not where a worker process imports it again
    sys.exit(main())
