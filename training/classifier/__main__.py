"""`python -m training.classifier`."""

import sys

from training.classifier.job import main

if __name__ == "__main__":  # not where a worker process imports it again
    sys.exit(main())
