"""Trains an image classifier: `python train.py --help`."""

import sys

from zoo.training.main import main

if __name__ == "__main__":
    sys.exit(main())
