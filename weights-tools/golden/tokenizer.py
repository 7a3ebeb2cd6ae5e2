"""The tiny tokenizer: CLIP's own file format, a small vocabulary learned from a short text."""

import re
from collections import Counter

from common import write_json

MERGES = 140

TEXT = """
a photo of a cat. a photo of a dog. a photograph of an astronaut riding a horse on mars. the red house on the hill under a
blue sky. a painting of the sea at night by the light of the moon. a portrait of a woman in a garden, watercolour. a small
wooden boat on the lake, mountains in the background, detailed, sharp focus. a castle in the forest in winter. a bowl of
fruit on the table. a man reading a book in the library. a bright yellow flower. a city street in the rain at night. blurry,
low quality, bad anatomy. best quality, highly detailed, the dog and the cat, the horse and the house. it's a cat that doesn't
"""

PATTERN = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[a-z]+|[0-9]|[^\sa-z0-9]+")


def byte_symbols():
    """GPT-2's map from byte to printable character, in the order in which CLIP numbers its first 256 tokens."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + k) for k in range(len(others))]


def learn_merges(text, count):
    """Plain BPE: join the most frequent neighbours, `count` times; ties go to the first in alphabetical order."""
    words = Counter(tuple(word[:-1]) + (word[-1] + "</w>",) for word in PATTERN.findall(text.lower()))
    merges = []
    while len(merges) < count:
        pairs = Counter()
        for word, times in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += times
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        words = Counter({join(word, best): times for word, times in words.items()})
    return merges


def join(word, pair):
    out, k = [], 0
    while k < len(word):
        both = word[k : k + 2] == pair
        out.append(word[k] + word[k + 1] if both else word[k])
        k += 2 if both else 1
    return tuple(out)


def vocabulary(merges):
    """256 bytes, 256 bytes that end a word, one token a merge, then the two specials: CLIP's numbering."""
    symbols = byte_symbols()
    tokens = [*symbols, *(symbol + "</w>" for symbol in symbols), *("".join(pair) for pair in merges), "<|startoftext|>", "<|endoftext|>"]
    assert len(set(tokens)) == len(tokens)
    return {token: index for index, token in enumerate(tokens)}


def write_tokenizer(folder, pad="<|endoftext|>", merges=None):
    """Writes the four files of a Stable Diffusion tokenizer folder (there is no tokenizer.json in those). Returns the vocabulary size."""
    merges = merges or learn_merges(TEXT, MERGES)
    vocab = vocabulary(merges)
    special = lambda text: {"content": text, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "vocab.json", vocab, indent=2, sort_keys=True)  # sorted by token, not by id: so are SD's own
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges), encoding="utf-8")
    write_json(
        folder / "special_tokens_map.json",
        {"bos_token": special("<|startoftext|>"), "eos_token": special("<|endoftext|>"), "pad_token": pad, "unk_token": special("<|endoftext|>")},
        indent=2,
    )
    added = lambda text: {"__type": "AddedToken", **special(text)}
    write_json(
        folder / "tokenizer_config.json",
        {
            "add_prefix_space": False,
            "bos_token": added("<|startoftext|>"),
            "do_lower_case": True,
            "eos_token": added("<|endoftext|>"),
            "errors": "replace",
            "model_max_length": 77,
            # As in SD2's repositories: this file names endoftext even where special_tokens_map.json says "!".
            "pad_token": "<|endoftext|>",
            "tokenizer_class": "CLIPTokenizer",
            "unk_token": added("<|endoftext|>"),
        },
        indent=2,
    )
    return len(vocab)
