"""The canvas: exact size, true proportions, no aliasing."""

import numpy as np
import pytest
from PIL import Image

from radserve_imaging import ImagePolicy, encode_png, render
from radserve_imaging.geometry import lay_out, place

WHITE = np.full((50, 100, 3), 255, np.uint8)


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (37, 511), (512, 512), (3000, 2500)])
@pytest.mark.parametrize("fit", ["pad", "stretch"])
def test_pad_and_stretch_give_exactly_the_policy_s_size(size, fit):
    layout = lay_out(*size, 1.0, ImagePolicy(width=224, height=196, fit=fit))
    at = layout.placement
    assert layout.size == (224, 196)
    assert at.x >= 0 and at.x + at.width <= 224 and at.width >= 1
    assert at.y >= 0 and at.y + at.height <= 196 and at.height >= 1
    assert at.width == 224 or at.height == 196


@pytest.mark.parametrize("width", [1, 28, 223, 512, 3000, 20000])
@pytest.mark.parametrize("height", [1, 57, 512, 2048])
@pytest.mark.parametrize("multiple", [14, 28, 32])
def test_within_stays_within_its_area_in_whole_multiples(width, height, multiple):
    policy = ImagePolicy(width=224, height=224, fit="within", multiple=multiple)
    w, h = lay_out(width, height, 1.0, policy).size
    assert w * h <= 224 * 224
    assert w % multiple == 0 and h % multiple == 0 and w > 0 and h > 0


def test_within_keeps_the_aspect_as_far_as_multiples_allow():
    policy = ImagePolicy(width=448, height=448, fit="within", multiple=28)
    assert lay_out(2000, 1000, 1.0, policy).size == (616, 308)
    assert lay_out(448, 448, 1.0, policy).size == (448, 448)
    assert lay_out(280, 140, 1.0, policy).size == (280, 140)


def test_padding_is_centred_on_the_background():
    rendering = render(encode_png(WHITE), ImagePolicy(width=100, height=100, background=30))
    at = rendering.record.placement
    assert (at.x, at.y, at.width, at.height) == (0, 25, 100, 50)
    assert (rendering.pixels[:25] == 30).all() and (rendering.pixels[75:] == 30).all()
    assert (rendering.pixels[25:75] == 255).all()


@pytest.mark.checks("Pixels: aspect")
@pytest.mark.parametrize(
    "attributes",
    [
        {"PixelSpacing": [2, 1]},
        {"ImagerPixelSpacing": ["0.2", "0.1"]},
        {"PixelAspectRatio": [2, 1]},
        {"PixelSpacing": [2, 1], "ImagerPixelSpacing": [1, 1]},
    ],
)
def test_pixels_twice_as_high_as_wide_make_a_square_image_twice_as_high(build, attributes):
    stored = np.arange(64, dtype=np.uint16).reshape(8, 8)
    record = render(build(stored, modality="CR", **attributes), ImagePolicy(width=100, height=100)).record
    assert record.pixel_aspect == 2
    assert (record.placement.width, record.placement.height) == (50, 100)


def test_attributes_that_contradict_each_other_are_told(build):
    stored = np.arange(64, dtype=np.uint16).reshape(8, 8)
    data = build(stored, modality="CR", ImagerPixelSpacing=[0.2, 0.2], PixelAspectRatio=[2, 1])
    record = render(data, ImagePolicy()).record
    assert record.pixel_aspect == 1
    assert any("Pixel Aspect Ratio contradicts" in warning for warning in record.warnings)


def test_a_policy_that_stretches_tells_by_how_much(build):
    stored = np.zeros((100, 200), np.uint16)
    record = render(build(stored, modality="CR"), ImagePolicy(fit="stretch")).record
    assert any("2.00 times as high" in warning for warning in record.warnings)


@pytest.mark.parametrize("spacing", [[0, 0], [-1, 1], [1000, 1]])
def test_impossible_spacing_means_square_pixels_and_a_warning(build, spacing):
    stored = np.arange(64, dtype=np.uint16).reshape(8, 8)
    record = render(build(stored, modality="CR", PixelSpacing=spacing), ImagePolicy()).record
    assert record.pixel_aspect == 1
    assert any("Pixel Spacing" in warning for warning in record.warnings)


@pytest.mark.checks("Pixels: resize")
def test_a_fine_checkerboard_becomes_even_grey():
    """Without antialiasing, dropping pixels leaves black, white, or moiré."""
    board = (np.indices((900, 900)).sum(axis=0) % 2 * 255).astype(np.uint8)
    shown = render(encode_png(np.dstack([board] * 3)), ImagePolicy()).pixels
    assert np.abs(shown.astype(int) - 127).max() <= 8


@pytest.mark.parametrize("side", [224, 448])
def test_a_real_x_ray_looks_as_if_filtered_in_one_step(corpus, side):
    """The box reduction that comes first saves half of the work, and must not be seen.

    Grey levels move by 0.1 to 0.3 on average, and by 10 at most, where a marker or a collimator has an edge.
    """
    compared = 0
    for path, row in corpus:
        if row["modality"] not in ("CR", "DX") or row["decode"] != "ok" or compared == 4:
            continue
        width, height = int(row["cols"]), int(row["rows"])
        policy = ImagePolicy(width=width, height=height, fit="stretch")
        full = render(path.read_bytes(), policy).pixels[:, :, 0]
        layout = lay_out(width, height, 1.0, ImagePolicy(width=side, height=side))
        at = layout.placement
        if height < 4 * at.height:
            continue
        reference = Image.fromarray(full).resize((at.width, at.height), Image.Resampling.BICUBIC)
        shown = place(full, layout, 0)[at.y : at.y + at.height, at.x : at.x + at.width, 0]
        difference = np.abs(shown.astype(int) - np.asarray(reference))
        assert 0 < difference.mean() < 0.35 and difference.max() <= 10, path.name
        compared += 1
    assert compared > 1


@pytest.mark.parametrize("side", [100, 224, 448, 900])
def test_colour_and_grey_are_resized_alike(side):
    y, x = np.mgrid[:700, :900]
    grey = (127 + 80 * np.sin(x / 31) * np.cos(y / 23) + 40 * (np.hypot(x - 400, y - 300) < 150)).astype(
        np.uint8
    )
    policy = ImagePolicy(width=side, height=side)
    colour = render(encode_png(np.dstack([grey] * 3)), policy).pixels.astype(int)
    difference = np.abs(colour - render(encode_png(grey), policy).pixels)
    assert difference.max() <= 3 and difference.mean() < 0.4


def test_pixels_are_contiguous_rgb_bytes():
    for fit in ("pad", "stretch", "within"):
        pixels = render(encode_png(WHITE), ImagePolicy(fit=fit)).pixels
        assert pixels.dtype == np.uint8 and pixels.shape[2] == 3 and pixels.flags.c_contiguous


@pytest.mark.parametrize("width", [97, 98, 99, 100, 1])
@pytest.mark.parametrize("channels", [1, 3])
def test_rows_taken_four_bytes_at_a_time_are_pillow_s_own(width, channels):
    """Whatever their length: the last px of four bytes may be filled up."""
    pixels = np.random.default_rng(width).integers(0, 256, (83, width, channels)).astype(np.uint8)
    pixels = pixels[:, :, 0] if channels == 1 else pixels
    shown = place(pixels, lay_out(width, 83, 1.0, ImagePolicy(width=60, height=45, fit="stretch")), 0)
    bicubic = Image.Resampling.BICUBIC
    expected = Image.fromarray(pixels).resize((width, 45), bicubic).resize((60, 45), bicubic).convert("RGB")
    assert np.array_equal(shown, np.asarray(expected))
