"""`python -m training.autoencoder`."""

import sys

if __name__ == "__main__":  # not where a worker process imports it again
    from training.data.first_look import first_look, images

    refused = first_look(sys.argv[1:], images)
    if refused:
        sys.exit(refused)
    from training.autoencoder.job import main

    sys.exit(main())
