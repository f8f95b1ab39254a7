"""`python -m training.autoencoder`."""

import sys

from training.autoencoder.job import main

if __name__ == "__main__":  # not where a worker process imports it again
    sys.exit(main())
