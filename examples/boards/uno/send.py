"""Sends a picture to the sketch, and prints the class that the board answers: python send.py /dev/ttyACM0 seven.png.

It needs Linux. The picture is prepared as the dataset of the last run was, as `drilldown predict` does.
"""

import os
import sys
import termios

import drilldown


def classify(port: int, image: bytes) -> str:
    """Sends an image of 28 rows of 28 pixels, each row when the board asks for it, and returns the answer."""
    for start in range(0, len(image), 28):
        while os.read(port, 1) != b">":  # opening the port restarts the board: first it classifies its own digit
            pass
        os.write(port, image[start : start + 28])
    return os.read(port, 1).decode()


if __name__ == "__main__":
    device, picture = sys.argv[1:]
    image = drilldown.find_run("last").read_picture(picture).numpy().tobytes()
    opened = os.open(device, os.O_RDWR | os.O_NOCTTY)
    raw = termios.tcgetattr(opened)
    raw[0] = raw[1] = raw[3] = 0  # bytes as they are
    raw[2] = termios.CS8 | termios.CREAD | termios.CLOCAL
    raw[4] = raw[5] = termios.B500000
    termios.tcsetattr(opened, termios.TCSANOW, raw)
    print(classify(opened, image))
