"""torch's CPU normal generator: values of torch.randn for an engine that rebuilds it."""

import torch

from common import save_golden, seeded

SEEDS = [0, 42, 1234567]
# Fewer than 16 values take another path in torch; 20 and 1000 are no multiple of 16.
SIZES = [1, 2, 5, 6, 15, 16, 17, 20, 31, 1000, 16384]
# Published vectors (four decimals), to know that this torch still draws what everyone's pictures were made with.
KNOWN = {
    (0, 6): [1.5410, -0.2934, -2.1788, 0.5684, -1.0845, -1.3986],
    (0, 16): [-1.1258, -1.1524, -0.2506, -0.4339, 0.8487, 0.6920, -0.3160, -2.1152, 0.3223, -1.2633, 0.3500, 0.3081, 0.1198, 1.2377, 1.1168, -0.2473],
    (0, 20): [-1.1258, -1.1524, -0.2506, -0.4339, 0.5988, -1.5551, -0.3414, 1.8530, 0.4681, -0.1577, 1.4437, 0.2660, 1.3894, 1.5863, 0.9463, -0.8437, 0.9318, 1.2590, 2.0050, 0.0537],
    (42, 16384): [1.9269, 1.4873, 0.9007, -2.1055],
}  # fmt: skip


def make():
    tensors = {}
    for seed in SEEDS:
        for size in SIZES:
            values = torch.randn(size, generator=seeded(seed))
            known = KNOWN.get((seed, size), [])
            assert torch.allclose(values[: len(known)], torch.tensor(known), atol=6e-5), f"torch.randn changed: seed {seed}, {size} values"
            # Half-precision draws are the float32 ones rounded, except (torch 2.15) in the last 16 values of an odd-sized tensor.
            for dtype in [torch.float16, torch.bfloat16] if size < 16 or size % 16 == 0 else []:
                assert torch.equal(torch.randn(size, generator=seeded(seed), dtype=dtype), values.to(dtype)), f"{dtype} is not the rounded float32 draw"
            if size <= 64:
                tensors[f"seed{seed}.n{size}"] = values
            else:
                tensors[f"seed{seed}.n{size}.first64"], tensors[f"seed{seed}.n{size}.last32"] = values[:64].clone(), values[-32:].clone()
        # Two draws in a row from one generator, as a batch of pictures from one generator would take them.
        rng = seeded(seed)
        tensors[f"seed{seed}.n20.then20"] = torch.cat([torch.randn(20, generator=rng), torch.randn(20, generator=rng)])
        rng = seeded(seed)
        tensors[f"seed{seed}.n5.then6"] = torch.cat([torch.randn(5, generator=rng), torch.randn(6, generator=rng)])
    tensors["seed4294967338.n16"] = torch.randn(16, generator=seeded(2**32 + 42))
    assert torch.equal(tensors["seed4294967338.n16"], tensors["seed42.n16"]), "seeds should count modulo 2^32"
    save_golden("noise", tensors, generator="torch CPU, MT19937")
