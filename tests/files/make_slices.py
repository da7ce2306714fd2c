"""Writes tensors with odd strides, and slices of them as NumPy gives them.

    python tests/files/make_slices.py FOLDER [CASES]

FOLDER gets strided.pt (torch.save), blocks.gguf (gguf-py) and cases.jsonl: one case a line, with the tensor's
name, the ranges taken one after the other as [axis, start, end], and what NumPy says of the result: shape,
crc32 of its elements side by side, crc32 of its values as float32. A range that cuts a block has "cuts" with
the block's length in place of a result; it always is the last of its case.

tests/slices.rs reads what stands in tests/files/slices, written with CASES = 1500; with
WEIGHBRIDGE_SLICES=FOLDER it reads another folder.
"""

import json
import random
import sys
import zlib
from pathlib import Path

import gguf
import numpy as np
import torch

SEED = 20261124
PLAIN = [torch.uint8, torch.int16, torch.float16, torch.bfloat16, torch.float32, torch.int64, torch.float64,
         torch.complex64, torch.complex128]
BLOCKS = ["Q4_0", "Q8_0", "Q5_1", "Q4_K", "Q6_K", "IQ4_NL", "TQ2_0"]


def strided(rng):
    """Tensors whose elements are permuted, stepped, repeated, shifted and cut."""
    tensors = {}
    for number in range(240):
        dtype = PLAIN[number % len(PLAIN)]
        rank = rng.choice([1, 2, 2, 2, 3, 3, 4, 5])
        most = {1: 900, 2: 40, 3: 10, 4: 6, 5: 4}[rank]
        shape = [rng.choice([1, 2, 3, rng.randint(1, most), most]) for _ in range(rank)]
        if number % 37 == 0:
            shape[rng.randrange(rank)] = 0
        if dtype.is_floating_point or dtype.is_complex:
            tensor = torch.randn(shape, dtype=torch.complex128 if dtype.is_complex else torch.float64).to(dtype)
        else:
            tensor = torch.randint(0, 100, shape, dtype=dtype)
        order = list(range(rank))
        if number % 3:
            rng.shuffle(order)
            tensor = tensor.permute(order)
        for axis in range(rank):
            if number % 4 == 1 and tensor.shape[axis] > 3:
                tensor = tensor[(slice(None),) * axis + (slice(rng.randint(0, 2), None, rng.randint(1, 3)),)]
        if number % 7 == 3:
            tensor = tensor.unsqueeze(0).expand([rng.randint(2, 5)] + list(tensor.shape))
        tensors[f"t{number}"] = tensor
    return tensors


def wide(rng):
    """Tensors that are larger than any buffer they pass through."""
    return {
        "transposed": torch.randn(700, 900).t(),
        "columns": torch.randn(3000, 300)[:, 7:201],
        "wide_rows": torch.randn(9, 300_000)[1:8, ::1].t(),
        "long_runs": torch.randn(40, 20_000)[:, 100:15_000],
        "bytes": torch.randint(0, 255, (1500, 1300), dtype=torch.uint8).t(),
    }


def numpy_of(tensor):
    """The same memory as a NumPy array; bf16 as its bits."""
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy()
    return tensor.numpy()


def as_f32(tensor):
    return None if tensor.dtype.is_complex else tensor.to(torch.float32).numpy()


def ranges(rng, shape, block):
    """Up to four ranges, and whether the last cuts a block."""
    shape = list(shape)
    taken = []
    for _ in range(rng.choice([0, 1, 1, 2, 2, 3, 4])):
        axis = rng.randrange(len(shape))
        start = min(rng.randint(0, shape[axis]), rng.randint(0, shape[axis]))
        end = start if rng.random() < 0.04 else rng.choice([rng.randint(start, shape[axis]), shape[axis]])
        last = axis == len(shape) - 1
        if last and block > 1:
            if rng.random() < 0.7:
                start, end = start // block * block, end // block * block
            taken.append([axis, start, end])
            whole_rest = all(length for number, length in enumerate(shape) if number != axis)
            if (start % block or end % block) and start < end and whole_rest:
                return taken, True
            if start == end or not whole_rest:
                return taken, False
        else:
            taken.append([axis, start, end])
        shape[axis] = end - start
    return taken, False


def cut(array, taken):
    for axis, start, end in taken:
        array = array[(slice(None),) * axis + (slice(start, end),)]
    return array


def crc(array):
    return zlib.crc32(np.ascontiguousarray(array).tobytes())


def main(folder, cases):
    rng = random.Random(SEED)
    torch.manual_seed(SEED)
    np.random.seed(SEED)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = strided(rng)
    large = wide(rng) if cases > 10_000 else {}
    torch.save({**tensors, **large}, folder / "strided.pt")
    arrays = {name: (numpy_of(t), as_f32(t), 1) for name, t in tensors.items()}
    large = {name: (numpy_of(t), as_f32(t), 1) for name, t in large.items()}

    writer = gguf.GGUFWriter(folder / "blocks.gguf", "none")
    for name in BLOCKS:
        kind = gguf.GGMLQuantizationType[name]
        block, size = gguf.GGML_QUANT_SIZES[kind]
        for rank, outer in enumerate([(), (7,), (3, 5), (2, 3, 4)], 1):
            shape = (*outer, block * 6)
            data = np.random.randint(0, 256, (*outer, 6 * size), dtype=np.uint8)
            if name in ("Q4_0", "Q8_0", "IQ4_NL", "Q5_1"):
                data = gguf.quants.quantize(np.random.randn(*shape).astype(np.float32), kind) \
                    if name != "IQ4_NL" else finite(data, size, [0])
            else:
                data = finite(data, size, {"Q4_K": [0, 2], "Q6_K": [208], "TQ2_0": [64]}[name])
            key = f"{name}.{rank}"
            writer.add_tensor(key, data, raw_dtype=kind)
            values = gguf.quants.dequantize(data, kind).reshape(shape)
            arrays[key] = (data.reshape(*outer, 6, size), values, block)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    names = sorted(tensors), sorted(set(arrays) - set(tensors))
    with open(folder / "cases.jsonl", "w") as out:
        for number in range(cases):
            if large and number % 200 == 0:
                name = rng.choice(sorted(large))
                raw, values, block = large[name]
            else:
                name = rng.choice(names[rng.random() < 0.4])
                raw, values, block = arrays[name]
            shape = values.shape if block > 1 else raw.shape
            taken, cuts = ranges(rng, shape, block)
            case = {"tensor": name, "ranges": taken}
            if cuts:
                case["cuts"] = block
            else:
                part = cut(values if block > 1 else raw, taken)
                case["shape"] = list(part.shape)
                last = len(shape) - 1
                bytes_taken = [[a, s // block if a == last else s, e // block if a == last else e]
                               for a, s, e in taken] if block > 1 else taken
                case["crc"] = crc(cut(raw, bytes_taken)) if part.size else 0
                if values is not None:
                    case["f32"] = crc(cut(values, taken))
            out.write(json.dumps(case) + "\n")


def finite(data, size, scales):
    """Random blocks whose half-precision scales are small finite numbers."""
    blocks = data.reshape(-1, size)
    for at in scales:
        scale = np.random.uniform(0.001, 0.1, len(blocks)).astype(np.float16)
        blocks[:, at:at + 2] = scale.view(np.uint8).reshape(-1, 2)
    return blocks.reshape(data.shape)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1500)
