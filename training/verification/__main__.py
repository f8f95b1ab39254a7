"""`python -m training.verification`."""

import sys

from training.verification.job import main

if __name__ == "__main__":
    sys.exit(main())
