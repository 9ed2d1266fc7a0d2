"""Heat map, latent map, nearest sequences and the report, on made-up data; names and reasons are hostile."""

from __future__ import annotations

import re
import tracemalloc
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from headwater.applications.variants import heat_svg, nearest
from headwater.applications.variants.colours import diverging, sequential
from headwater.applications.variants.heat_map import HeatMap
from headwater.applications.variants.latent_map import latent_map
from headwater.applications.variants.nearest import nearest_identity
from headwater.applications.variants.notice import NOTICE
from headwater.applications.variants.report import report_page, write_report
from headwater.applications.variants.report_content import (
    Agreement,
    AlignmentFacts,
    Estimate,
    MemberFacts,
    MixtureClass,
    ReportContent,
    SampledSequence,
    Spread,
)
from headwater.applications.variants.trust import trust
from headwater.errors import UsageError

ALPHABET = "ACDEFGHIKLMNPQRSTVWY"
EVIL = "<script>alert(1)</script>\"'&<img src=x onerror=alert(2)>\x00\u202e\ud800"
SVG = "{http://www.w3.org/2000/svg}"


def heat(length: int, *, start: int = 24, title: str = "made up") -> HeatMap:
    """Made-up scores with the fifth position left out, one cell and one whole position not scored."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 20, length)
    scores = -rng.gamma(2.0, 1.5, (length, 20)) + rng.normal(0, 0.5, (length, 20))
    scores[np.arange(length), codes] = 0.0
    scores[0, (codes[0] + 1) % 20] = np.nan
    scores[1:2] = np.nan
    numbers = tuple(start + i + (i >= 4) for i in range(length))
    return HeatMap("".join(ALPHABET[c] for c in codes), numbers, scores, title)


def facts(**changes: object) -> AlignmentFacts:
    given = {"target": "MADE_UP", "first": 24, "length": 120, "columns": 100, "sequences": 900, "neff": 132.5}
    return AlignmentFacts(**{**given, "theta": 0.2, **changes})  # type: ignore[arg-type]


def titles(svg: str) -> list[str]:
    return [found.text or "" for found in ElementTree.fromstring(svg).iter(f"{SVG}title")]


def test_ramps_go_from_end_to_end_and_stay_there():
    ends = diverging(np.array([-9.0, -1.0, 0.0, 1.0, 9.0])).astype(int)
    assert (ends[0] == ends[1]).all()
    assert (ends[3] == ends[4]).all()
    assert ends[0, 0] > ends[0, 2]
    assert ends[3, 2] > ends[3, 0]
    assert ends[2].min() > 230
    assert len(np.unique(sequential(np.linspace(0, 1, 50)), axis=0)) == 50


def test_every_cell_of_the_heat_map_says_variant_and_score():
    found = heat(100)
    said = titles(found.svg())
    assert len(said) == 1 + 100 * 21 + 1  # the picture's own, cells with means, the position left out
    own, number, score = found.wild_type[7], found.positions[7], found.scores[7]
    for residue, value in zip(ALPHABET, score, strict=True):
        expected = f"{own}{number} wild type" if residue == own else f"{own}{number}{residue} {value:+.2f}"
        assert expected in said
    assert f"{own}{number} mean {found.means()[7]:+.2f}" in said
    assert sum("not scored" in line for line in said) == 1 + 19 + 1
    assert "28 is left out" in said
    assert found.svg().count("url(#not-scored)") == 1 + 1 + 19 + 1  # the legend's, one, a position's and its mean's


def test_positions_are_numbered_as_the_target_and_wrapped():
    svg = heat(263).svg()
    shown = {found.text for found in ElementTree.fromstring(svg).iter(f"{SVG}text")}
    assert {"24", "30", "40", "200", "280", "aromatic", "mean", NOTICE} <= shown
    assert len(heat(263).parts()) == 1 + 4
    assert len(heat(3).parts()) == 2
    ElementTree.fromstring(heat(1).svg())


def test_colours_mean_what_the_legend_says():
    scores = np.zeros((2, 20))
    scores[0, 1], scores[0, 2] = -50.0, 50.0
    found = HeatMap("AC", (1, 2), scores)
    cell = {e[0].text: e.get("fill") for e in ElementTree.fromstring(found.svg()).iter(f"{SVG}path") if len(e)}
    assert cell["A1C -50.00"] == "#5f1408"
    assert cell["A1D +50.00"] == "#0b3557"
    assert cell["A1 wild type"] == cell["C2A +0.00"] == "#f6f3ee"


def test_heat_maps_stay_small():
    assert len(heat(400).svg()) < 1.5e6
    long = heat(1500)
    assert not heat_svg.has_tips(long)
    assert len(long.svg()) < 1.5e6
    assert titles(long.svg())[0] == "made up"


def test_means_and_limit_leave_out_the_wild_type_and_what_was_not_scored():
    scores = np.full((2, 20), np.nan)
    scores[0, :3] = [0.0, -2.0, -4.0]
    found = HeatMap("AC", (5, 6), scores)
    assert found.means()[0] == -3.0
    assert np.isnan(found.means()[1])
    assert found.counts().tolist() == [2, 0]
    assert found.limit == 4.0
    assert HeatMap("A", (1,), np.full((1, 20), np.nan)).limit == 1.0
    assert HeatMap("A", (1,), np.full((1, 20), -np.inf)).limit == 1.0


@pytest.mark.parametrize(("wild", "at"), [("AC", (1,)), ("A", (1, 2)), ("", ()), ("AC", (2, 2)), ("AC", (3, 1))])
def test_a_heat_map_refuses_what_does_not_fit(wild: str, at: tuple[int, ...]):
    with pytest.raises(UsageError):
        HeatMap(wild, at, np.zeros((len(wild), 20)))


def test_heat_map_files(tmp_path: Path):
    found = heat(90, title=EVIL)
    text = found.write(tmp_path / "a.svg").read_text()
    assert "<script" not in text
    ElementTree.fromstring(text)
    assert text == heat(90, title=EVIL).svg()
    with Image.open(found.write(tmp_path / "a.png")) as picture:
        assert picture.format == "PNG"
        assert picture.width > 1200
        colours = picture.convert("RGB").getcolors(2**20)
    assert colours is not None
    assert len(colours) > 100
    with pytest.raises(UsageError, match=r"\.svg or \.png"):
        found.write(tmp_path / "a.pdf")


def test_latent_map_is_the_principal_plane():
    rng = np.random.default_rng(1)
    codes = rng.normal(size=(500, 6)) * np.array([1.0, 5.0, 1.0, 3.0, 0.5, 0.5]) + 2.0
    found = latent_map(codes, rng.random(500), codes[7], codes[:9])
    values = np.linalg.svd(codes - codes.mean(0), compute_uv=False) ** 2
    np.testing.assert_allclose(found.shares, values[:2] / values.sum())
    np.testing.assert_allclose((found.natural**2).sum(0), values[:2])
    np.testing.assert_allclose(found.target, found.natural[7])
    np.testing.assert_allclose(found.sampled, found.natural[:9])
    assert found.note == "500 natural sequences, 9 samples"


def test_latent_map_thins_and_says_so(tmp_path: Path):
    rng = np.random.default_rng(2)
    codes = rng.normal(size=(9_000, 4)).astype(np.float32)
    found = latent_map(codes, rng.random(9_000), codes[0], name=EVIL, title=EVIL)
    assert found.natural.shape == (3_000, 2)
    assert "3,000 of 9,000 natural sequences" in found.note
    text = found.write(tmp_path / "a.svg").read_text()
    ElementTree.fromstring(text)
    assert "<script" not in text
    assert len(text) < 200_000
    again = latent_map(codes, found.identity.repeat(3), codes[0])
    assert (again.natural == found.natural).all()
    with pytest.raises(UsageError):
        found.write(tmp_path / "a.gif")


def test_latent_map_as_png_and_with_one_dimension(tmp_path: Path):
    codes = np.linspace(-1, 1, 40)[:, None]
    found = latent_map(codes, np.linspace(0.2, 0.9, 40), codes[3], codes[:5], name=f"_$\\frac$ {EVIL}", title="$\\bad$")
    assert found.shares == (pytest.approx(1.0), 0.0)
    with Image.open(found.write(tmp_path / "a.png")) as picture:
        assert picture.format == "PNG"
    alone = latent_map(np.zeros((1, 3)), np.ones(1), np.zeros(3))
    ElementTree.fromstring(alone.svg())
    with pytest.raises(UsageError, match="at least one"):
        latent_map(codes[:0], np.zeros(0), codes[0])
    with pytest.raises(UsageError, match="finite"):
        latent_map(codes, np.full(40, np.nan), codes[0])


@pytest.mark.parametrize("entries", [1, 20 * 11 * 3, 2**22])
def test_nearest_identity_equals_brute_force(entries: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(nearest, "_ENTRIES", entries)
    rng = np.random.default_rng(3)
    natural = rng.integers(0, 21, (37, 11)).astype(np.uint8)
    samples = np.concatenate([rng.integers(0, 4, (13, 11)).astype(np.uint8), natural[5:8]])
    samples[2, :9] = 20
    natural[30] = natural[6]  # of equals the first
    identity, index = nearest_identity(samples, natural)
    for i, sample in enumerate(samples):
        there = sample < 20
        each = ((natural == sample) & there).sum(1) / there.sum()
        assert identity[i] == pytest.approx(each.max())
        assert index[i] == each.argmax()
    assert index[-2] == 6
    assert identity[-2] == 1.0


def test_nearest_identity_keeps_its_memory():
    rng = np.random.default_rng(4)
    natural = rng.integers(0, 21, (5_000, 300)).astype(np.uint8)  # 120 MB as indicators at once
    samples = rng.integers(0, 20, (60, 300)).astype(np.uint8)
    tracemalloc.start()
    nearest_identity(samples, natural)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60 * 2**20


def test_nearest_identity_refuses_nonsense():
    some = np.zeros((2, 4), dtype=np.uint8)
    with pytest.raises(UsageError, match="at least one"):
        nearest_identity(some, some[:0])
    with pytest.raises(UsageError, match="from 0 to 20"):
        nearest_identity(some, some + np.uint8(21))
    with pytest.raises(UsageError, match="sample 1 is all gaps"):
        nearest_identity(np.array([[0, 1], [20, 20]], dtype=np.uint8), some[:, :2])
    assert len(nearest_identity(some[:0], some)[0]) == 0


def test_trust_follows_depth_and_says_what_counting_carries():
    shallow = trust(132.0, 300, 0.7)
    assert shallow.level == "shallow"
    assert "Counting carries 70% of the ensemble" in shallow.words
    assert "little for such an alignment" not in shallow.words
    assert "little for such an alignment" in trust(132.0, 300, 0.05).words
    assert "Counting carries" not in trust(132.0, 300).words
    assert trust(1_500.0, 300).level == "moderate"
    assert trust(30_000.0, 300).level == "deep"


def full(evil: str = EVIL) -> ReportContent:
    rng = np.random.default_rng(5)
    codes, found = rng.normal(size=(50, 5)), heat(100, title=evil)
    return ReportContent(
        facts(target=evil, dropped={evil: 3, "more than half gaps": 48, "none": 0}, source=evil, convention=evil),
        members=(
            MemberFacts(evil, evil, 0.6, -2.71, "exact", 0.004, None, 0.01, counting=True, note=evil),
            MemberFacts("vae", "Bayesian VAE", 0.4, -1.9, "lower bound", 0.006, 1000, 2.1),
        ),
        heat_map=found,
        spread=Spread(
            found.scores.ravel(),
            (MixtureClass("pathogenic", 0.5, -4.0, 1.5), MixtureClass(evil, 0.5, -1.0, 0.7)),
            (-2.6, -1.8),
            {evil: 12, "Benign": 30},
        ),
        agreements=(
            Agreement(
                evil, "Spearman", 4783, Estimate("counting", 0.6, 0.58, 0.62), (Estimate(evil, 0.55, 0.53, 0.57),),
                {evil: 7},
            ),
            Agreement("labels", "AUC", 40, Estimate("counting", float("nan")), (Estimate("ensemble", float("nan")),)),
            Agreement("bare", "AUC", 40, Estimate("counting", 0.9), ()),
        ),
        correlation=((evil, "vae"), np.array([[1.0, 0.7], [0.7, np.nan]])),
        latent_map=latent_map(codes, rng.random(50), codes[0], codes[:5], name=evil),
        samples=tuple(SampledSequence("ACD" * 40, 0.71, evil, 0.4, -3.0) for _ in range(60)),
        statuses={"scored": 1881, evil: 2},
        warnings=(evil,),
        recipe={evil: evil},
    )  # fmt: skip


def test_the_report_is_one_offline_file_without_script(tmp_path: Path):
    text = write_report(tmp_path / "r.html", full()).read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>\n")
    page = ElementTree.fromstring(text.removeprefix("<!doctype html>\n"))
    names = {element.tag for element in page.iter()}
    assert not names & {"script", "img", "iframe", "object", "link", "a", "form", "embed"}
    for element in page.iter():
        for key, value in element.attrib.items():
            assert not key.startswith("on")
            assert key not in ("src", "href", "action")
            assert "url(" not in value or value == "url(#not-scored)"
    style = "".join(element.text or "" for element in page.iter("style"))
    assert "url(" not in style
    assert "@import" not in style
    assert "http:" not in text.replace(EVIL, "")
    policy = next(e for e in page.iter("meta") if e.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in str(policy.get("content"))
    words = "".join(page.itertext())
    assert words.count("<script>alert(1)</script>") > 15  # shown as what they are


def test_the_report_says_everything_in_order():
    page = ElementTree.fromstring(report_page(full("plain")).removeprefix("<!doctype html>\n"))
    body = page.find("body")
    assert body is not None
    assert "".join(body.itertext()).startswith(NOTICE)
    heads = ["".join(e.itertext()) for e in page.iter("h2")]
    assert heads == [
        "Warnings", "Alignment shallow", "Ensemble", "Agreement with measurements", "All single variants", "Positions",
        "Distribution of scores", "Between members", "Latent map", "Sampled sequences", "Requested variants",
        "How this was made",
    ]  # fmt: skip
    words = "".join(body.itertext())
    for said in (
        "132.5", "1.3 effective sequences per position", "Counting carries 60% of the ensemble", "≥ -1.9000 ± 0.0060",
        "0.600 (0.580 to 0.620)", "0.550 (0.530 to 0.570)", "-0.050", "Least tolerant", "median 71.0%",
        "The first 50 are shown", "48 more than half gaps", "residues 24 to 143", "n = 4,783",
    ):  # fmt: skip
        assert said in words, said
    assert "nan" not in words
    assert " none" not in words.split("Ensemble")[0]


def test_a_report_needs_only_the_alignment():
    text = report_page(ReportContent(facts()))
    assert re.findall(r"<h2>(\w+)", text) == ["Alignment"]
    assert "Variant effects: MADE_UP" in text
    assert "nothing" in text
    empty = ReportContent(facts(), spread=Spread(np.full(3, np.nan)), heat_map=HeatMap("A", (1,), np.zeros((1, 20))))
    assert "No variant was scored." in report_page(empty)
    same = ReportContent(facts(), spread=Spread(np.full(3, -1.0), (MixtureClass("one", 1.0, -1.0, 0.0),)))
    assert "3 variants" in report_page(same)


def test_correlations_take_a_name_per_row():
    with pytest.raises(UsageError, match="a name per member"):
        ReportContent(facts(), correlation=(("a",), np.eye(2)))
