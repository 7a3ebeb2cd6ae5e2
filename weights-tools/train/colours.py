"""Recolouring by hue: one drawing in seven colours, so that colour × object can be told apart from either alone."""

from common import need

np = need("numpy")

#: Target hue in degrees, saturation factor, value exponent (< 1 brightens: a dark yellow reads as brown).
COLOURS = {
    "red": (2, 1.0, 1.0),
    "orange": (28, 1.0, 0.7),
    "yellow": (49, 1.0, 0.45),
    "green": (128, 0.9, 1.0),
    "blue": (216, 1.0, 1.0),
    "purple": (276, 0.9, 1.0),
    "pink": (328, 0.65, 0.6),
}

#: Nouns whose drawings are mostly one saturated colour that a speaker could swap.
RECOLOURED = (
    "apple;heart;balloon;car;t-shirt;umbrella;rose;tulip;butterfly;fish;book;cap;dress;star;mushroom;cherries;"
    "strawberry;gift;octopus;circle;square;diamond;triangle;triangular flag;gem stone;bell;guitar;coat;scarf;"
    "gloves;handbag;backpack;cupcake;crayon;droplet;bus;jellyfish;crab;frog;yarn;pear;lemon;tomato;carrot;"
    "eggplant;bird;key;house"
).split(";")


def rgb_to_hsv(rgb):
    """f64 [..., 3] in [0, 1] → hue in degrees, saturation, value."""
    high, low = rgb.max(-1), rgb.min(-1)
    span = np.maximum(high - low, 1e-9)
    r, g, b = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    hue = np.where(high == r, (g - b) / span, np.where(high == g, 2 + (b - r) / span, 4 + (r - g) / span))
    return (hue * 60) % 360, (high - low) / np.maximum(high, 1e-9), high


def hsv_to_rgb(hue, saturation, value):
    def channel(n):
        k = (n + hue / 60) % 6
        return value * (1 - saturation * np.clip(np.minimum(k, 4 - k), 0, 1))

    return np.stack([channel(5), channel(3), channel(1)], -1)


def turn(a, b):
    """Signed angle from b to a, in (-180, 180]."""
    return (a - b + 180) % 360 - 180


def dominant_hue(rgba):
    """The hue that most of the coloured area has, and that area's share of the drawing.

    rgba: u8 [H, W, 4] → (degrees, share in [0, 1])."""
    hue, saturation, value = rgb_to_hsv(rgba[..., :3] / 255)
    drawn = rgba[..., 3] / 255
    chroma = drawn * saturation * value
    counts, _ = np.histogram(hue, 72, (0, 360), weights=chroma)
    smooth = sum(np.roll(counts, k) * w for k, w in ((-2, 0.3), (-1, 0.8), (0, 1), (1, 0.8), (2, 0.3)))
    peak = smooth.argmax() * 5 + 2.5
    near = (np.abs(turn(hue, peak)) < 35) & (saturation > 0.25)
    centre = peak + (turn(hue, peak) * chroma * near).sum() / max((chroma * near).sum(), 1e-9)
    return centre % 360, (drawn * near).sum() / max(drawn.sum(), 1e-9)


def colour_name(hue):
    """The named colour within 14° of a hue, or None."""
    name = min(COLOURS, key=lambda c: abs(turn(hue, COLOURS[c][0])))
    return name if abs(turn(hue, COLOURS[name][0])) < 14 else None


def recolour(rgba, centre, colour):
    """Moves the band of hues around `centre` to the named colour; other hues, greys and alpha stay."""
    target, saturate, exponent = COLOURS[colour]
    rgb = rgba[..., :3] / 255
    hue, saturation, value = rgb_to_hsv(rgb)
    offset = turn(hue, centre)
    weight = np.clip((50 - np.abs(offset)) / 10, 0, 1) * np.clip(saturation / 0.15, 0, 1)
    moved = hsv_to_rgb((target + offset * 0.35) % 360, np.clip(saturation * saturate, 0, 1), value**exponent)
    mixed = rgb + (moved - rgb) * weight[..., None]
    return np.concatenate([np.round(mixed * 255).astype(np.uint8), rgba[..., 3:]], -1)
