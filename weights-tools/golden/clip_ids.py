"""Token ids of many prompts: OpenAI CLIP's vocabulary (assets/clip-merges.txt) and the tiny one, through transformers' CLIPTokenizer."""

import hashlib
import tempfile
from pathlib import Path

from transformers import CLIPTokenizer

from common import DATA, MODELS, ROOT, versions, write_json
from tokenizer import write_tokenizer

MERGES_FILE = ROOT / "assets" / "clip-merges.txt"
MERGES_SHA256 = "9fd691f7c8039210e0fced15865466c65820d09b63988b0174bfe25de299051a"
VOCAB_SHA256 = "e089ad92ba36837a0d31433e555c8f45fe601ab5c221d4f607ded32d9f7a4349"

KNOWN = {
    "a photo of a cat": [49406, 320, 1125, 539, 320, 2368, 49407],
    "A  Photo\n of a CAT!!": [49406, 320, 1125, 539, 320, 2368, 748, 49407],
    "café naïve 猫 🐱 123": [49406, 15304, 1097, 35689, 563, 163, 234, 360, 22979, 272, 273, 274, 49407],
    "it's don't": [49406, 585, 568, 847, 713, 49407],
}

PROMPTS = [
    *KNOWN,
    "",
    " ",
    " \t\r\n  ",
    "a",
    "!",
    "a photo of a dog, 8k, trending on artstation, by greg rutkowski",
    "masterpiece, best quality, 1girl, solo, (long hair:1.2), [blurry], looking at viewer",
    "A Lego-style man is in the car.",
    "an astronaut riding a horse on mars, hd, dramatic lighting, detailed",
    "I'LL say we've said they're DON'T can't o'clock 'tis rock'n'roll",
    "'s 't 're 've 'm 'll 'd ' '' 'x",
    "3.14159 2,000,000 1920x1080 f/1.8 50mm ISO-100 90s 4k",
    "١٢٣ ½ ² Ⅷ ①",
    "UPPERCASE MiXeD CaSe ÀÉÎÕÜ ẞ İstanbul ΣΊΣΥΦΟΣ",
    "hyphen-ated under_score semi;colon slash/back\\slash pipe|pipe tilde~ caret^ at@ hash# dollar$ percent% and& star* plus+ equals=",
    '"quotes" ‘single’ “double” «guillemets» … — – •',
    "...!!!???,,,;;;:::",
    "((((nested))) [brackets]) {curly} <angle>",
    "<|startoftext|>",
    "a cat <|endoftext|> a dog",
    "<|ENDOFTEXT|>a",
    "<lora:detail:0.8> a castle",
    "東京の夜景、ネオン、雨",
    "北京 上海 你好世界",
    "안녕하세요 고양이",
    "Привет, мир! красная площадь",
    "مرحبا بالعالم",
    "שלום עולם",
    "नमस्ते दुनिया",
    "สวัสดีชาวโลก",
    "Ω≈ç√∫˜µ≤≥÷",
    "e\u0301cole cafe\u0301 n\u0303 A\u030a",
    "Å ﬁ ﬀ K ｆｕｌｌｗｉｄｔｈ",
    "z\u0334\u0321\u033aa\u0335\u0322l\u0336g\u0337o",
    "👩‍🚀 👍🏽 🇯🇵 ❤️ 🏳️‍🌈 🐱🐶",
    "zero\u200bwidth non\u00a0breaking thin\u2009space ideographic\u3000space line\u2028separator",
    "tab\tnewline\nreturn\rformfeed\fvertical\vend",
    "soft\u00adhyphen byte\ufefforder mark",
    "null\x00control\x01\x1fdelete\x7f",
    "\U0001d504\U0001d52b\U0001d520 mathematical fraktur \U0001f600\U0001f680",
    "https://example.com/a?b=c&d=e#f user@example.com C:\\path\\file.png",
    "supercalifragilisticexpialidocious pneumonoultramicroscopicsilicovolcanoconiosis",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "cat " * 75,
    "cat " * 76,
    "a very long prompt " * 40,
    "BREAK AND a cat AND a dog BREAK",
]


def ids_of(folder, prompts):
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    return [tokenizer(prompt, padding="max_length", max_length=77, truncation=True).input_ids for prompt in prompts]


def short(ids, pad):
    """Drops the padding: everything after the first end token, when that is all the same."""
    end = len(ids)
    while end > 1 and ids[end - 1] == pad and ids[end - 2] == pad:
        end -= 1
    return ids[:end]


def make():
    text = MERGES_FILE.read_text(encoding="utf-8")
    assert hashlib.sha256(text.encode()).hexdigest() == MERGES_SHA256, "assets/clip-merges.txt is not the one these ids belong to"
    merges = [tuple(line.split(" ")) for line in text.split("\n")[1:-1]]
    with tempfile.TemporaryDirectory() as scratch:
        size = write_tokenizer(Path(scratch), merges=merges)
        digest = hashlib.sha256((Path(scratch) / "vocab.json").read_bytes()).hexdigest()
        assert size == 49408 and digest == VOCAB_SHA256, "the vocabulary derived from the merges is not the published vocab.json"
        print("  check: vocab.json derived from the merges is byte for byte the published one")
        ids = ids_of(scratch, PROMPTS)
    for prompt, known in KNOWN.items():
        assert short(ids[PROMPTS.index(prompt)], 49407) == known, prompt
    print(f"  check: {len(KNOWN)} published id sequences")
    write("clip-ids.json", ids, 49406, 49407, 49407, "assets/clip-merges.txt", PROMPTS)
    write("tiny-ids.json", ids_of(MODELS / "sd15-weak" / "tokenizer", PROMPTS), 652, 653, 653, "test/golden/models/sd15-weak/tokenizer", PROMPTS)
    # Without prompts that hold "!": as the padding token it is special to transformers, and cut out of words.
    plain = [prompt for prompt in PROMPTS if "!" not in prompt]
    write("tiny-ids-sd2.json", ids_of(MODELS / "sd2" / "tokenizer", plain)[:12], 652, 653, 0, "test/golden/models/sd2/tokenizer", plain[:12])


def write(name, ids, bos, eos, pad, vocabulary, prompts):
    assert all(len(row) == 77 for row in ids)
    rows = [{"prompt": prompt, "ids": short(row, pad)} for prompt, row in zip(prompts, ids)]
    head = {**versions(), "vocabulary": vocabulary, "length": 77, "bos": bos, "eos": eos, "pad": pad, "note": "every row continues with pad up to length"}
    write_json(DATA / name, {**head, "rows": rows}, indent=1)
    print(f"  test/golden/data/{name}  {len(rows)} prompts")
