"""Wordings. A caption says what is drawn, perhaps its colour, and usually the style."""


def article(words):
    return ("an " if words[0] in "aeiou" else "a ") + words


def captions(noun, style, colour, moved, tags):
    """Every wording of one picture, style-free ones first.

    A recoloured drawing always says its colour, since its noun alone means the usual colour; a drawing in its own colour
    says it in half of its wordings.
    @returns a list of {text, styled}; training draws one at random
    """
    things = [f"{colour} {noun}"] if colour else []
    if not moved:
        things.append(noun)
    out = []
    for thing in things:
        plain = [thing, f"an emoji of {article(thing)}"]
        styled = [
            f"{thing}, {style} style",
            f"{style} {thing}",
            f"{thing} emoji, {style} style",
            f"{article(style)} emoji of {article(thing)}",
            f"{article(thing)} in {style} style",
        ]
        # CLDR keywords, one at a time behind the noun; a keyword that repeats the noun adds nothing.
        extra = [t for t in tags if t.lower() not in noun and noun not in t.lower() and t.isascii()][:3]
        styled += [f"{thing}, {tag.lower()}, {style} style" for tag in extra]
        out += [{"text": t, "styled": False} for t in plain] + [{"text": t, "styled": True} for t in styled]
    return out
