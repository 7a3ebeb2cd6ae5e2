"""Renders the emoji, recolours some, writes captions and the held-out split, and packs all of it into one file.

    npm install --prefix SOURCES @iconify-json/fluent-emoji-flat @iconify-json/fluent-emoji @iconify-json/noto emojibase-data
    python data.py --sources SOURCES

Writes WORK/dataset.npz (the only input of the later stages), WORK/dataset.png to look at, and split.json beside this file.
"""

import hashlib
import io
import json
import sys

from captions import captions
from colours import COLOURS, RECOLOURED, colour_name, dominant_hue, recolour, turn
from common import HERE, arguments, need, sheet

np = need("numpy")
resvg = need("resvg_py")
Image = need("PIL.Image")

#: Style word → (package, licence). The order is the style index everywhere.
STYLES = {"flat": "fluent-emoji-flat", "gradient": "fluent-emoji", "cartoon": "noto"}
SIZE = 64
#: Drawn this much larger, then averaged: resvg's own anti-aliasing at 64 pixels loses thin strokes.
OVERSAMPLE = 4


def pick(key, n):
    """A number below n that depends on the key only, the same on every machine."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:6], "big") % n


def load_sources(folder):
    modules = folder / "node_modules"
    try:
        sets = {style: json.loads((modules / "@iconify-json" / name / "icons.json").read_text()) for style, name in STYLES.items()}
        chars = {name: json.loads((modules / "@iconify-json" / name / "chars.json").read_text()) for name in ("fluent-emoji-flat", "noto")}
        entries = json.loads((modules / "emojibase-data" / "en" / "data.json").read_text())
    except FileNotFoundError as error:
        packages = " ".join(f"@iconify-json/{name}" for name in STYLES.values())
        sys.exit(f"MissingSource: {error.filename}\n  hint: npm install --prefix {folder} {packages} emojibase-data")
    # The gradient set ships no table of characters; it uses the flat set's names.
    chars["fluent-emoji"] = chars["fluent-emoji-flat"]
    return sets, chars, {entry["hexcode"]: entry for entry in entries}


def render(icons, name, label):
    """One SVG body → u8 [SIZE·4, SIZE·4, 4], straight alpha. @throws SystemExit naming the emoji that failed."""
    icon = icons["icons"].get(name)
    if icon is None:
        sys.exit(f"RenderError: emoji '{label}': no drawing '{name}' in {icons['prefix']}")
    w, h = icon.get("width", icons.get("width", 16)), icon.get("height", icons.get("height", 16))
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="0 0 {w} {h}" width="{SIZE * OVERSAMPLE}" height="{SIZE * OVERSAMPLE}">{icon["body"]}</svg>'
    )
    try:
        png = bytes(resvg.svg_to_bytes(svg_string=svg))
    except Exception as error:
        sys.exit(f"RenderError: emoji '{label}' ({icons['prefix']}:{name}): {error}")
    rgba = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))
    if rgba[..., 3].max() == 0:
        sys.exit(f"RenderError: emoji '{label}' ({icons['prefix']}:{name}) came out empty")
    return rgba


def on_white(rgba):
    """Alpha over white, averaged down → u8 [SIZE, SIZE, 3]."""
    a = rgba[..., 3:] / 255
    flat = rgba[..., :3] * a + 255 * (1 - a)
    return np.round(flat.reshape(SIZE, OVERSAMPLE, SIZE, OVERSAMPLE, 3).mean((1, 3))).astype(np.uint8)


def held_out(nouns):
    """The combinations that no training picture shows, in any wording: fixed by hashes of the names alone."""
    styles = list(STYLES)
    style_pairs = [[noun, styles[pick(f"style of {noun}", 3)]] for noun in nouns if pick(f"hold {noun}", 5) == 0]
    colours = list(COLOURS)
    colour_pairs = []
    for noun in (n for n in nouns if n in RECOLOURED):
        first = pick(f"colour of {noun}", len(colours))
        second = (first + 1 + pick(f"second colour of {noun}", len(colours) - 1)) % len(colours)
        colour_pairs += [[noun, colours[first]], [noun, colours[second]]]
    return style_pairs, colour_pairs


def main():
    parser = arguments(__doc__)
    parser.add_argument("--sources", type=lambda p: __import__("pathlib").Path(p), required=True, help="folder that holds node_modules")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    sets, chars, entries = load_sources(args.sources)
    concepts = json.loads((HERE / "concepts.json").read_text())
    nouns = list(concepts.values())
    style_pairs, colour_pairs = held_out(nouns)
    hidden_style = {tuple(p) for p in style_pairs}
    hidden_colour = {tuple(p) for p in colour_pairs}

    # A row: noun, style, colour as the caption may state it (None = not stated), whether hue was moved.
    images, rows, held_images, held_rows, native = [], [], [], [], {}

    def add(image, noun, style, colour, moved, tags):
        hidden = (noun, style) in hidden_style or (noun, colour) in hidden_colour
        row = {"noun": noun, "style": style, "colour": colour, "moved": moved}
        (held_images if hidden else images).append(image)
        (held_rows if hidden else rows).append(row | {"captions": captions(noun, style, colour, moved, tags)})

    for hexcode, noun in concepts.items():
        entry = entries[hexcode]
        key = hexcode.lower()
        for style, package in STYLES.items():
            table = chars[package]
            name = table.get(key) or table.get(key.replace("-fe0f", ""))
            if name is None:
                sys.exit(f"RenderError: emoji '{entry['label']}' ({hexcode}) has no name in {package}")
            rgba = render(sets[style], name, entry["label"])
            centre, share = dominant_hue(rgba)
            single = noun in RECOLOURED and share > 0.3
            own = colour_name(centre) if single else None
            if own:
                native[(noun, style)] = own
            # A held-out colour may be the drawing's own: then the drawing is shown without its colour word.
            stated = own if own and (noun, own) not in hidden_colour else None
            add(on_white(rgba), noun, style, stated, False, entry.get("tags", []))
            if not single:
                continue
            for colour, (hue, _, _) in COLOURS.items():
                if colour != own and abs(turn(hue, centre)) > 12:
                    add(on_white(recolour(rgba, centre, colour)), noun, style, colour, True, entry.get("tags", []))

    split = {
        "about": "Combinations that no training picture or caption joins. Prompts for evaluation are built from them.",
        "styles": list(STYLES),
        "colours": list(COLOURS),
        "styleByObject": style_pairs,
        "colourByObject": [p for p in colour_pairs if any(r["noun"] == p[0] and r["moved"] for r in rows)],
    }
    # One combination a line, as the repository's formatter would write it.
    fields = []
    for name, value in split.items():
        pairs = isinstance(value[0], list)
        body = "[\n    " + ",\n    ".join(json.dumps(p) for p in value) + "\n  ]" if pairs else json.dumps(value)
        fields.append(f'  "{name}": {body}')
    (HERE / "split.json").write_text("{\n" + ",\n".join(fields) + "\n}\n")
    np.savez_compressed(
        args.work / "dataset.npz",
        images=np.stack(images),
        rows=np.array(json.dumps(rows)),
        heldImages=np.stack(held_images),
        heldRows=np.array(json.dumps(held_rows)),
    )
    sheet(np.stack(images)[:: max(1, len(images) // 400)][:400], args.work / "dataset.png", 25, 1)
    moved = [i for i, r in enumerate(rows) if r["moved"]]
    sheet(np.stack([images[i] for i in moved[:400]]), args.work / "recoloured.png", 25, 1)
    print(f"{len(nouns)} nouns, {len(images)} training pictures ({len(moved)} recoloured), {len(held_images)} held out, "
          f"{sum(len(r['captions']) for r in rows)} captions, {(args.work / 'dataset.npz').stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
