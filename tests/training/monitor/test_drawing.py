from __future__ import annotations

from uda.training.monitor.drawing import font, shorten, text_width


def test_text_is_cut_to_its_width() -> None:
    face = font(12)
    assert shorten("Rust", face, 200) == "Rust"
    cut = shorten("a very long class name, longer than fits", face, 60)
    assert cut.endswith("…")
    assert text_width(cut, face) <= 60
    assert shorten("two\nlines \udcff", face, 300) == "two lines ?"
