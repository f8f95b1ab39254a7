"""`python -m training.embedder`."""

import sys

if __name__ == "__main__":  # not where a worker process imports it again
    from training.data.first_look import first_look
    from training.data.photos import require_photos

    refused = first_look(sys.argv[1:], require_photos)
    if refused:
        sys.exit(refused)
    from training.embedder.job import main

    sys.exit(main())
