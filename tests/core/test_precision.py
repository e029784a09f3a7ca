"""bfloat16 is computed in itself where the machine has instructions for it, else in float32."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from benchmark.core import precision  # noqa: E402
from benchmark.environment import describe_environment  # noqa: E402


@pytest.fixture
def processor(monkeypatch):
    """A processor that has what is named, before torch has asked for it."""

    def having(*names, onednn=True):
        monkeypatch.setattr(
            torch.cpu, "get_capabilities", lambda: dict.fromkeys(names, True), raising=False
        )
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: onednn)
        precision.has_bfloat16.cache_clear()

    yield having
    precision.has_bfloat16.cache_clear()


@pytest.mark.parametrize(
    ("names", "has"),
    [
        (("avx2", "avx512_f"), False),
        (("avx512_f", "avx512_bf16"), True),
        (("amx_tile", "amx_bf16"), True),
        (("neon", "bf16"), True),
        (("neon",), False),
    ],
)
def test_the_instructions_of_a_processor_decide(processor, names, has) -> None:
    processor(*names)
    expected = torch.bfloat16 if has else torch.float32
    assert precision.computed_in("bfloat16", "cpu") is expected
    assert precision.computed_in("float32", "cpu") is torch.float32
    with precision.autocast("bfloat16", "cpu"):
        assert torch.is_autocast_enabled("cpu") is has
    with precision.autocast("float32", "cpu"):
        assert not torch.is_autocast_enabled("cpu")
    said = describe_environment()["bfloat16 computed in"]
    if not torch.cuda.is_available():
        assert said == ("bfloat16" if has else "float32")


def test_without_the_library_that_uses_them_instructions_are_nothing(processor) -> None:
    processor("bf16", onednn=False)
    assert precision.computed_in("bfloat16", "cpu") is torch.float32


@pytest.mark.parametrize("native", [True, False])
def test_a_gpu_that_only_emulates_it_computes_in_float32(monkeypatch, native) -> None:
    asked = []
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda **flags: asked.append(flags) or native
    )
    precision.has_bfloat16.cache_clear()
    try:
        expected = torch.bfloat16 if native else torch.float32
        assert precision.computed_in("bfloat16", "cuda:0") is expected
        assert asked == [{"including_emulation": False}]
    finally:
        precision.has_bfloat16.cache_clear()
