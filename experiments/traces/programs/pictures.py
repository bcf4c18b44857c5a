"""Pictures are drawn, turned, blurred, made smaller, packed as PNG and JPEG, and unpacked."""

from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageFilter


def picture(random: np.random.Generator) -> Image.Image:
    """Noise with a few shapes on it."""
    width, height = (int(side) for side in random.integers(60, 240, 2))
    pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    drawn = Image.fromarray(pixels)
    pen = ImageDraw.Draw(drawn)
    for _ in range(5):
        left, top = (int(at) for at in random.integers(0, 60, 2))
        pen.ellipse((left, top, left + 50, top + 40), fill=(left, top, 99))
    return drawn


def main() -> None:
    """Small copies and packed files stay; the pictures themselves go."""
    random, album, packed = np.random.default_rng(0), [], []
    for number in range(40):
        drawn = picture(random).rotate(float(random.uniform(0, 90)), expand=True)
        soft = drawn.filter(ImageFilter.GaussianBlur(2))
        file = BytesIO()
        soft.save(file, "PNG" if number % 2 else "JPEG")
        packed.append(file.getvalue())
        again = Image.open(BytesIO(packed[number // 2])).convert("L")
        values = np.asarray(again, np.float32)
        down, right = np.gradient(values)
        edges = np.hypot(down, right) > 30
        album.append((again.resize((32, 32)), edges.mean()))


if __name__ == "__main__":
    main()
