"""The 1797 digits of 8 x 8 pixels that scikit-learn ships, as a CSV: the digit, then 64 grey values from 0 to 16, row by row.

Argument: the file to write. Nothing is downloaded; the file is an intermediate result and belongs under out/.
"""

import csv
import sys
from pathlib import Path

from sklearn.datasets import load_digits


def main(path):
    digits = load_digits()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["digit", *(f"p{pixel}" for pixel in range(64))])
        for digit, pixels in zip(digits.target, digits.data, strict=True):
            table.writerow([int(digit), *(int(value) for value in pixels)])


main(Path(sys.argv[1]))
