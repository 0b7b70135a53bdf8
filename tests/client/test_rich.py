"""Rich output of many ranks in a notebook."""

from __future__ import annotations

import base64
from typing import Any

from steer.client.replies import ExecuteReply, Output
from steer.client.rich import Gallery, alike, bundles

from .kernels import notebook

PNG = base64.b64encode(b"picture").decode()


def output(metadata: Any = None, **data: Any) -> Output:
    names = {"text": "text/plain", "png": "image/png", "html": "text/html",
             "latex": "text/latex", "svg": "image/svg+xml",
             "widget": "application/vnd.jupyter.widget-view+json"}  # fmt: skip
    found = {names[name]: value for name, value in data.items()}
    return Output(data=found, metadata=metadata or {}, transient={})


def test_equal_outputs_are_one() -> None:
    same, other = output(text="a"), output(text="b")
    groups = alike({3: same, 0: other, 1: same, 2: same})
    assert [str(shown.ranks) for shown in groups] == ["0", "1-3"]
    wide = output({"image/png": {"width": 5}}, png=PNG)
    assert len(alike({0: output(png=PNG), 1: wide})) == 2


def test_different_pictures_are_side_by_side() -> None:
    row = alike(
        {rank: output(text="<Figure>", png=f"{PNG}{rank}") for rank in range(3)}
    )
    ((data, _),) = bundles(row)
    page = data["text/html"]
    assert page.count("<img ") == page.count("<figcaption") == 3
    assert "display:flex" in page
    assert f"data:image/png;base64,{PNG}2" in page
    assert data["text/plain"] == "[0] <Figure>\n[1] <Figure>\n[2] <Figure>"


def test_one_picture_stays_one_for_who_makes_a_pdf() -> None:
    size = {"image/png": {"width": 300, "height": 200}}
    row = alike(dict.fromkeys(range(4), output(size, text="<Figure>", png=PNG)))
    ((data, metadata),) = bundles(row)
    assert data["image/png"] == PNG
    assert metadata == size
    assert 'width="300" height="200"' in data["text/html"]
    assert "[0-3] (4)" in data["text/html"]
    assert data["text/plain"] == "[0-3] (4) <Figure>"


def test_pages_are_kept_and_texts_are_escaped() -> None:
    row = alike({0: output(html="<b>x</b>", text="X"), 1: output(text="<b>y</b>")})
    ((data, _),) = bundles(row)
    assert "<b>x</b>" in data["text/html"]
    assert "&lt;b&gt;y&lt;/b&gt;" in data["text/html"]


def test_pictures_cannot_end_their_attribute() -> None:
    ((data, _),) = bundles(alike({0: output(png='"><script>alert(1)</script>')}))
    assert "<script>" not in data["text/html"]
    drawing = '<svg><script>alert("x")</script></svg>'
    ((data, _),) = bundles(alike({0: output(svg=drawing)}))
    assert "<script>" not in data["text/html"]  # an image runs nothing
    encoded = base64.b64encode(drawing.encode()).decode()
    assert f"data:image/svg+xml;base64,{encoded}" in data["text/html"]


def test_widgets_and_formulas_are_shown_by_the_front_end() -> None:
    widget = output(text="W", widget={"model_id": "1"})
    row = alike({0: widget, 1: output(latex="$x$"), 2: output(text="t")})
    page, caption, shown, other, formula = bundles(row)
    assert page[0]["text/plain"] == "[2] t"
    assert caption[0]["text/plain"] == "[0]"
    assert shown == (widget["data"], {})
    assert other[0]["text/plain"] == "[1]"
    assert formula[0] == {"text/latex": "$x$"}


def test_rows_are_updated_when_another_rank_has_its_share() -> None:
    with notebook() as outputs:
        gallery = Gallery()
        gallery.show({0: [output(text="a")]}, {})
        gallery.show({0: [output(text="a")], 1: [output(text="a")]}, {})
        assert outputs.texts == ["[0-1] (2) a"]
        published = outputs.published
        gallery.show({0: [output(text="a")], 1: [output(text="a")]}, {})
        assert outputs.published == published  # nothing is new
        more = [output(text="a"), output(text="b")]
        gallery.show({0: more, 1: [output(text="a")]}, {})
        assert outputs.texts == ["[0-1] (2) a", "[0] b"]


def test_rich_results_are_the_last_row() -> None:
    def reply(rank: int) -> ExecuteReply:
        data = {"text/plain": "Table", "text/html": "<table></table>"}
        return ExecuteReply(rank, 5, {"data": data, "metadata": {}}, {})

    with notebook() as outputs:
        Gallery().show({0: [output(text="a")]}, {0: reply(0), 1: reply(1)})
        assert outputs.texts == ["[0] a", "[0-1] (2) Table"]
        assert "<table></table>" in outputs.pages[1]


def test_a_thousand_figures_are_not_all_shown() -> None:
    row = alike({r: output(text="F", png=f"{PNG}{r:04}") for r in range(1000)})
    ((data, _),) = bundles(row)
    assert data["text/html"].count("<img ") == 64
    assert "… 936 more: result.outputs" in data["text/html"]
    assert data["text/plain"].endswith("\n… 936 more: result.outputs")
    row = alike({r: output(widget={"model_id": str(r)}) for r in range(1000)})
    assert len(bundles(row)) == 2 * 64 + 1
