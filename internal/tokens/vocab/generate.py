"""Writes the vocabularies of OpenAI's encodings as the package tokens embeds them, and the counts it is tested against.

    pip install -r requirements.txt && python generate.py

A vocabulary is all its tokens in the order of rank, each behind a byte that holds its length, deflated. tiktoken checks
the files that it reads by their hashes; the Go tests check what is embedded by the same hashes.
"""

import json
import pathlib
import random
import zlib

import tiktoken

HERE = pathlib.Path(__file__).parent
ENCODINGS = ["o200k_base", "cl100k_base"]
ALPHABET = "aabcsStTrevlLmdDAZ''  \t\n\r/.,!0159éÉßſʰǅ中日가\u0301\u0902\u00a0\u3000\u0085½٣👍-_"
TEXTS = [
    "", " ", "a", "Hello, world!", "I'm you're they'VE we'll he'd 'tis 's'S 'ſ don'T x'", "HELLOworld helloWORLD CamelCaseID ÀÉÎ ǅabc ʰʰA Aʰ",
    "1234567 ¼½ ٣٤٥٦ 12a34", "a  b   c\td\n\ne \n f\r\n\r\n  g  ", "  \n  \n x", "\n \n \n ", "!!!???//\n//\n", " /path/to//file\n",
    "\u00a0x\u3000y\u2028z\u0085", "中文没有空格，标点。ABC中文abc", "日本語のテキストです。カタカナ", "한국어 텍스트입니다", "हिन्दी में लिखा हुआ", "ภาษาไทยไม่มีช่องว่าง",
    "e\u0301te\u0301 \u0301A \u0301a \u0301", "👩‍👩‍👧‍👦 🇩🇪", "func main() {\n\tfmt.Println(\"hi\") // x\n}\n", '{"a":[1,2.5,null],"b":"\\u00e9"}',
    "<|endoftext|>", " " * 100 + "x", "x" + " " * 100, "\n" * 50, "=" * 200, "ab" * 100,
]


def main():
    encodings = {name: tiktoken.get_encoding(name) for name in ENCODINGS}
    for name, encoding in encodings.items():
        tokens = sorted(encoding._mergeable_ranks, key=encoding._mergeable_ranks.get)
        assert [encoding._mergeable_ranks[t] for t in tokens] == list(range(len(tokens)))
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        packed = deflate.compress(b"".join(bytes([len(t)]) + t for t in tokens)) + deflate.flush()
        (HERE / f"{name}.bin").write_bytes(packed)

    rng = random.Random(1)
    texts = TEXTS + ["".join(rng.choice(ALPHABET) for _ in range(rng.randint(1, 14))) for _ in range(4000)]
    texts += [p.read_text() for p in sorted((HERE / "../testdata").glob("*")) if p.name != "counts.jsonl"]
    with open(HERE / "../testdata/counts.jsonl", "w") as out:
        for text in texts:
            counts = [len(encodings[name].encode_ordinary(text)) for name in ENCODINGS]
            out.write(json.dumps([text, *counts], ensure_ascii=False) + "\n")


main()
