"""`python -m training.export`."""

import sys

from training.export.model_folder import main

if __name__ == "__main__":  # not where a worker process imports it again
    sys.exit(main())
