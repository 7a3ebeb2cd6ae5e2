"""A byte-pair tokenizer in CLIP's own files, learnt from the captions.

The vocabulary is laid out as CLIP's: 256 byte symbols, the same with `</w>`, one symbol per merge, then the two specials.
Writes vocab.json, merges.txt, special_tokens_map.json and tokenizer_config.json; no tokenizer.json, as in stock checkpoints.
"""

import json
from collections import Counter

from common import need

regex = need("regex")

BOS, EOS = "<|startoftext|>", "<|endoftext|>"
WORDS = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", regex.IGNORECASE)
#: Words a user may well type that no caption holds: learnt with a small weight so that they do not fall to single letters.
COMMON = "a an the of and with in on photo picture drawing painting cute small big bright dark white black grey brown style emoji".split()


def byte_symbols():
    """One printable character per byte, in CLIP's order: printable Latin-1 stands for itself, the rest are moved past 255."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    moved = [b for b in range(256) if b not in printable]
    return {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(moved)}


def learn(captions, merges_wanted):
    """The most frequent adjacent pair is merged, again and again; ties go to the alphabetically first."""
    symbols = byte_symbols()
    counts = Counter(word for text in captions for word in WORDS.findall(text.lower()))
    counts.update(dict.fromkeys(COMMON, 3))
    words = {}
    for word, count in counts.items():
        letters = [symbols[b] for b in word.encode()]
        words[(*letters[:-1], letters[-1] + "</w>")] = count
    merges = []
    while len(merges) < merges_wanted:
        pairs = Counter()
        for word, count in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += count
        if not pairs:
            break
        best = min(pairs, key=lambda p: (-pairs[p], p))
        merges.append(best)
        joined = "".join(best)
        after = {}
        for word, count in words.items():
            out, i = [], 0
            while i < len(word):
                if word[i : i + 2] == best:
                    out.append(joined)
                    i += 2
                else:
                    out.append(word[i])
                    i += 1
            after[tuple(out)] = after.get(tuple(out), 0) + count
        words = after
    return merges


def write(folder, captions, merges_wanted=1536):
    """Learns and writes the four files. @returns {vocab, bos, eos}, the vocabulary's size and the ids of the specials"""
    merges = learn(captions, merges_wanted)
    alphabet = list(byte_symbols().values())
    names = alphabet + [c + "</w>" for c in alphabet] + ["".join(pair) for pair in merges] + [BOS, EOS]
    vocab = {name: i for i, name in enumerate(names)}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def special(text):
        return {"content": text, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}

    specials = {"bos_token": special(BOS), "eos_token": special(EOS), "pad_token": EOS, "unk_token": special(EOS)}
    (folder / "special_tokens_map.json").write_text(json.dumps(specials, indent=2) + "\n")
    config = {
        "add_prefix_space": False,
        "bos_token": {"__type": "AddedToken"} | special(BOS),
        "do_lower_case": True,
        "eos_token": {"__type": "AddedToken"} | special(EOS),
        "errors": "replace",
        "model_max_length": 77,
        "pad_token": EOS,
        "tokenizer_class": "CLIPTokenizer",
        "unk_token": {"__type": "AddedToken"} | special(EOS),
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    return {"vocab": len(vocab), "bos": vocab[BOS], "eos": vocab[EOS]}
