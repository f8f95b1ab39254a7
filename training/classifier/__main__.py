"""`python -m training.classifier`."""

import sys

if __name__ == "__main__":  # not where a worker process imports it again
    from training.data.first_look import classes, first_look

    refused = first_look(sys.argv[1:], classes)
    if refused:
        sys.exit(refused)
    from training.classifier.job import main

    sys.exit(main())
