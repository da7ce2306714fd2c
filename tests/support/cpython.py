"""Mutated pickles, and what CPython's own unpickler makes of each, as records on the standard output.

    python3.11 cpython.py SEED COUNT

Nothing is imported and nothing called: `find_class` and `persistent_load` give an inert stand-in for
everything. A record is: u32 length, the pickle, u32 length, a UTF-8 text of lines. The first line is
`accept`, or the name of the exception; each other line is a global as asked for, module and name with a
tab between.
"""

import collections
import datetime
import decimal
import io
import pickle
import pickletools
import random
import resource
import struct
import sys


class Meta(type):
    """The stand-in is a class that gives itself for every call, and takes every item and state."""

    def __call__(cls, *arguments, **keywords):
        return cls

    def append(cls, item):
        pass

    def extend(cls, items):
        pass

    def add(cls, item):
        pass

    def __setitem__(cls, key, value):
        pass

    def __setstate__(cls, state):
        pass


class Stub(metaclass=Meta):
    def __new__(cls, *arguments, **keywords):
        return cls


class Unpickler(pickle.Unpickler):
    def __init__(self, data):
        # A string of Python 2 is taken for text whatever its bytes are, as with torch's encoding.
        super().__init__(io.BytesIO(data), encoding="utf-8", errors="surrogateescape")
        self.asked = []

    def find_class(self, module, name):
        self.asked.append(f"{module}\t{name}".replace("\n", "\r"))
        return Stub

    def persistent_load(self, pid):
        return Stub


class Pickler(pickle.Pickler):
    """Writes every `Storage` as a persistent id, as torch does."""

    def persistent_id(self, value):
        return ("storage", Storage, "0", "cpu", 12) if isinstance(value, Storage) else None


class Storage:
    pass


class Slots:
    __slots__ = ("a", "b")


class Plain(dict):
    pass


def seeds():
    """Pickles of all kinds of values, of every protocol."""
    plain = Plain(a=1)
    plain.attribute = [plain]
    slots = Slots()
    slots.a, slots.b = 1, "two"
    shared = [1, 2, (3, "four")]
    values = [
        None, True, 12, -3, 2**40, -(2**70), 1.5, float("inf"), "text", "naïve \u20ac \ud800", b"bytes", bytearray(b"array"),
        (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [], [1, "a"], {}, {"k": [1]}, {1, 2}, frozenset({"a"}),
        collections.OrderedDict(a=shared, b=shared), collections.defaultdict(list, x=[1]), collections.deque([1, 2]),
        datetime.date(2020, 1, 2), decimal.Decimal("1.5"), complex(1, 2), slice(1, 2), range(3), len, dict.fromkeys,
        plain, slots, ValueError("x"), "x" * 300, b"y" * 300, list(range(300)), Storage(),
        {f"layer.{i}.weight": (Storage(), 0, (2, 3), (3, 1)) for i in range(4)},
    ]
    for protocol in range(6):
        for value in values:
            out = io.BytesIO()
            try:
                Pickler(out, protocol).dump(value)
            except (TypeError, pickle.PicklingError):
                continue
            yield out.getvalue()
    # What picklers no longer write.
    for text in (
        "(i__main__\nName\n.", "(c__main__\nName\nI1\no.", "I01\n.", "L12L\n.", "S'a\\x41'\np0\n.", "F1.5\n.", "P12\n.",
        "(dp0\nS'a'\np1\n(lp2\nI1\naI2\nas.", "(I1\nI2\ntp0\n0g0\n.", "(I1\n1N.", "V\\u20ac\np7\ng7\n\x86.",
    ):
        yield text.encode("latin-1")


OPCODES = [ord(opcode.code) for opcode in pickletools.opcodes]
NAMES = (b"os", b"system", b"builtins", b"eval", b"a.b", b"torch._utils", b"_rebuild_tensor_v2", b"__builtin__")


def fragment(random):
    """One opcode with an argument that fits it, mostly."""
    code = random.choice(OPCODES)
    small, text = random.randrange(6), random.choice(NAMES)
    byte = bytes([code])
    letter = chr(code)
    if letter in "ci":
        return byte + text + b"\n" + random.choice(NAMES) + b"\n"
    if letter in "ILgp":
        return byte + str(small).encode() + b"\n"
    if letter == "F":
        return byte + random.choice((b"1.5", b"-0", b"1e400", b"nan", b" 1")) + b"\n"
    if letter in "SV":
        return byte + (b"'" + text + b"'" if letter == "S" else text) + b"\n"
    if letter == "P":
        return byte + text + b"\n"
    if letter in "KhqU\x8cC\x82\x8a":
        return byte + (bytes([len(text)]) + text if letter in "U\x8cC" else bytes([small]) + bytes(small if letter == "\x8a" else 0))
    if letter in "TXB\x8b":
        return byte + struct.pack("<I", len(text)) + text
    if letter in "\x8d\x8e\x96":
        return byte + struct.pack("<Q", len(text)) + text
    if letter in "Jrj\x84":
        return byte + struct.pack("<I", small)
    if letter == "M\x83":
        return byte + struct.pack("<H", small)
    if letter == "G":
        return byte + struct.pack(">d", small)
    if letter == "\x80":
        return byte + bytes([random.randrange(7)])
    if letter == "\x95":
        return byte + struct.pack("<Q", random.randrange(40))
    return byte


def mutated(random, pool):
    kind = random.randrange(8)
    if kind == 0:
        return b"".join(fragment(random) for _ in range(random.randrange(1, 24))) + b"."
    data = bytearray(random.choice(pool))
    for _ in range(random.randrange(1, 5)):
        at = random.randrange(len(data) + 1)
        match kind:
            case 1 if data:
                data[at % len(data)] ^= 1 << random.randrange(8)
            case 2 if data:
                data[at % len(data)] = random.choice(OPCODES)
            case 3:
                data[at:at] = fragment(random)
            case 4:
                del data[at : at + random.randrange(1, 12)]
            case 5:
                other = random.choice(pool)
                start = random.randrange(len(other))
                data[at:at] = other[start : start + random.randrange(1, 60)]
            case 6:
                data[at:] = random.choice(pool)[at:]
            case _:
                end = at + random.randrange(1, 20)
                data[at:at] = data[at:end]
    return bytes(data)


def main():
    seed, count = int(sys.argv[1]), int(sys.argv[2])
    # A memo index of 2^32 would take 32 GiB.
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    generator = random.Random(seed)
    pool = [pickle for pickle in seeds() if len(pickle) < 4000]
    out = sys.stdout.buffer
    for number in range(count):
        data = pool[number] if number < len(pool) else mutated(generator, pool)
        unpickler = Unpickler(data)
        try:
            unpickler.load()
            outcome = "accept"
        except Exception as error:
            outcome = type(error).__name__
        text = "\n".join([outcome, *unpickler.asked]).encode("utf-8", "surrogatepass")
        out.write(struct.pack("<I", len(data)) + data + struct.pack("<I", len(text)) + text)
    out.flush()


main()
