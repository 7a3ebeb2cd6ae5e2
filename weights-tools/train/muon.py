"""An optimiser for short runs: orthogonalised momentum for matrices, AdamW for the rest.

A convolution's or linear layer's momentum, as a matrix [out, in·kh·kw], is replaced by the nearest matrix with equal
singular values, so that rare directions move as far as common ones. Per step it costs a few small products; on a handful
of CPU minutes the autoencoder gets about twice as far as with AdamW alone.
See Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks".
"""

from common import need

torch = need("torch")


def orthogonal(g, rounds=5):
    """Newton–Schulz iteration for U·Vᵀ of g = U·S·Vᵀ, with the quintic whose slope at zero is large."""
    a, b, c = 3.4445, -4.7750, 2.0315
    # bf16 is enough: the result is only a direction, and its singular values are meant to be merely near 1.
    x = (g / (g.norm() + 1e-7)).bfloat16()
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    for _ in range(rounds):
        s = x @ x.T
        x = a * x + (b * s + c * s @ s) @ x
    return (x.T if tall else x).contiguous()


class Muon(torch.optim.Optimizer):
    """Momentum 0.95 with look-ahead, orthogonalised; the step is `rate` in spectral norm, more for tall matrices."""

    def __init__(self, params, lr, momentum=0.95, weight_decay=0.0, rounds=5):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "rounds": rounds})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            m = group["momentum"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(p)
                buffer = state["momentum"].lerp_(p.grad, 1 - m)
                u = orthogonal(p.grad.lerp(buffer, m).flatten(1), group["rounds"])
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(u.view_as(p).to(p.dtype), alpha=-group["lr"] * max(1, u.shape[0] / u.shape[1]) ** 0.5)


def split_parameters(module, ends):
    """(matrices for Muon, the rest for AdamW). `ends` names the modules at the input and output, which stay with AdamW."""
    inner, rest = [], []
    for name, p in module.named_parameters():
        (inner if p.ndim >= 2 and not any(e in name for e in ends) else rest).append(p)
    return inner, rest
