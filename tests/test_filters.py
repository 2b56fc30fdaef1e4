"""Filters: every row against scipy.ndimage or a direct sum, on voxels that differ along every axis."""

from __future__ import annotations

from itertools import permutations
from math import erfc

import numpy as np
import pytest
from scipy import ndimage

from conv3d_cli.errors import LayerError, UnknownArgument
from conv3d_cli.filters import FILTERS, Filter, Grid, Loaded
from conv3d_cli.filters.gaussian import FWHM, MOST_LOST
from conv3d_cli.lengths import Length

SPACING = (1.0, 1.5, 2.5)
IMAGE = np.random.default_rng(5).standard_normal((14, 15, 17))
TURN = np.linalg.qr(np.random.default_rng(7).standard_normal((3, 3)))[0]
OBLIQUE = TURN @ np.diag(SPACING)
SHEARED = OBLIQUE @ np.array([[1, 0.3, 0], [0, 1, -0.4], [0, 0, 1.0]])
PLAIN = Grid("xyz", SPACING)


def applied(text, grid=PLAIN, image=IMAGE):
    """Return what scipy makes of a filter's kernels, one result for each."""
    kernel = Filter.parse(text).kernel(grid)
    assert all(n % 2 for n in kernel.size)
    return [ndimage.correlate(image, values, mode="constant") for values in kernel.values]


def close(got, expected):
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize("truncate", [2.0, 3.3, 4.0])
@pytest.mark.parametrize(
    "order", [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (2, 0, 1), (0, 3, 0), (0, 0, 4), (1, 1, 2)]
)
def test_gaussians_are_those_of_scipy(order, truncate):
    words = "x".join(map(str, order))
    sigma = np.array([1.1, 0.8, 1.4])
    for text, unit in (
        ("1.1x0.8x1.4vox", 1.0),
        (f"{1.1 * 1}x{0.8 * 1.5}x{1.4 * 2.5}mm", np.prod(np.array(SPACING) ** order)),
    ):
        got = applied(f"gaussian:sigma={text},order={words},truncate={truncate}")[0]
        close(got, ndimage.gaussian_filter(IMAGE, sigma, order, mode="constant", truncate=truncate) / unit)


def test_full_widths_and_units():
    one = Filter.parse("gaussian:fwhm=6mm,truncate=4").kernel(PLAIN).values
    for text, grid in (
        (f"gaussian:sigma={6 / FWHM!r}mm,truncate=4", PLAIN),
        ("gaussian:fwhm=6000um,truncate=4", PLAIN),
        ("gaussian:fwhm=6x6x6mm,truncate=4", PLAIN),
        ("gaussian:fwhm=6x4x2.4vox,truncate=4", PLAIN),
        ("gaussian:fwhm=6mmx4voxx6mm,truncate=4", PLAIN),
        ("gaussian:fwhm=6mm,truncate=4", Grid("xyz", (1000.0, 1500.0, 2500.0), "um")),
        ("gaussian:fwhm=6mm,truncate=4", Grid("xyz", SPACING, "unknown")),
    ):
        np.testing.assert_allclose(Filter.parse(text).kernel(grid).values, one, rtol=1e-12)


@pytest.mark.parametrize("axes", ["".join(p) for p in permutations("xyz")])
@pytest.mark.parametrize(
    "text",
    [
        "gaussian:sigma=1x2x3mm,order=0x1x2",
        "box:size=3x5x7mm",
        "ball:radius=2x3x5mm",
        "laplacian:per=mm",
        "log:sigma=2mm",
        "dog:low=1x2x3mm",
        "sobel:axis=y",
        "prewitt:axis=x,per=mm",
        "scharr:axis=all",
        "gradient:axis=all,per=mm",
        "gradient:sigma=2mm",
        "unsharp:sigma=1x2x3mm",
        "gabor:sigma=3mm,wavelength=5mm,direction=1x2x3",
        "hessian:sigma=1x2x3mm",
        "custom:file=k",
    ],
)
def test_words_are_for_x_y_and_z_in_whatever_order_the_file_has_them(text, axes):
    kernel = np.random.default_rng(3).standard_normal((3, 5, 7))
    order = ["xyz".index(axis) for axis in axes]

    def load(name):
        return Loaded(kernel, "xyz", (0.9, 1.1, 1.3))

    plain = Filter.parse(text).kernel(Grid("xyz", SPACING, load=load))
    turned = Filter.parse(text).kernel(Grid(axes, tuple(SPACING[i] for i in order), load=load))
    np.testing.assert_allclose(turned.values, plain.values.transpose(0, *(i + 1 for i in order)), atol=1e-14)
    assert (turned.parts, turned.per) == (plain.parts, plain.per)
    assert turned.lost == pytest.approx(plain.lost)


def test_every_filter_is_among_these():
    text = "".join(
        mark.args[1].__str__() for mark in test_words_are_for_x_y_and_z_in_whatever_order_the_file_has_them.pytestmark
    )
    assert all(f"'{name}" in text for name in FILTERS.rows)


def test_a_kernel_is_cut_where_less_than_1e_4_is_lost():
    for sigma in (0.3, 0.7, 1.0, 2.5, 6.0):
        for order in ("0", "1x0x0", "0x2x1"):
            text = f"gaussian:sigma={sigma}vox,order={order}"
            kernel = Filter.parse(text).kernel(PLAIN)
            whole = Filter.parse(f"{text},truncate=13").kernel(PLAIN)
            inside = [slice((n - k) // 2, (n + k) // 2) for n, k in zip(whole.size, kernel.size, strict=True)]
            share = 1 - np.abs(whole.values[0][tuple(inside)]).sum() / np.abs(whole.values).sum()
            assert kernel.lost < MOST_LOST
            assert share == pytest.approx(kernel.lost, rel=1e-3, abs=1e-12)
    assert Filter.parse("gaussian:sigma=2vox,truncate=1").kernel(PLAIN).lost > 0.3
    assert Filter.parse("gaussian:sigma=2vox,truncate=4").kernel(PLAIN).lost == pytest.approx(
        3 * erfc(4.25 / 2**0.5), rel=0.2
    )


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8])
def test_boxes_of_whole_voxels_are_those_of_scipy(size):
    close(
        applied(f"box:size={size}x3x{size + 1}vox")[0],
        ndimage.uniform_filter(IMAGE, (size, 3, size + 1), mode="constant"),
    )
    close(applied("mean")[0], ndimage.uniform_filter(IMAGE, 3, mode="constant")) if size == 1 else None


def test_boxes_of_the_world_are_symmetric_and_of_their_width():
    for width in (0.5, 1.0, 2.2, 3.0, 4.5, 6.0, 7.5):
        kernel = Filter.parse(f"box:size={width}mm").kernel(PLAIN).values[0]
        assert kernel.sum() == pytest.approx(1)
        np.testing.assert_allclose(kernel, kernel[::-1, ::-1, ::-1])
        profile, voxels = kernel.sum(axis=(0, 1)), width / 2.5
        assert profile.max() == pytest.approx(1 / max(voxels, 1))
    np.testing.assert_allclose(Filter.parse("box:size=3x4.5x7.5mm").kernel(PLAIN).values, np.full((1, 3, 3, 3), 1 / 27))


@pytest.mark.parametrize("affine", [OBLIQUE, SHEARED])
def test_a_ball_holds_the_voxels_within_its_radius(affine):
    kernel = Filter.parse("ball:radius=3.7mm").kernel(Grid.of(affine, "mm", "xyz")).values[0]
    at = np.stack(np.meshgrid(*(np.arange(-9, 10) for _ in range(3)), indexing="ij"), -1)
    inside = np.linalg.norm(at @ affine.T, axis=-1) <= 3.7
    wide = np.pad(kernel, [(9 - n // 2,) * 2 for n in kernel.shape])
    np.testing.assert_allclose(wide, inside / inside.sum(), atol=1e-15)
    assert all(plane.any() for axis in range(3) for plane in (kernel.take(0, axis), kernel.take(-1, axis)))


def test_stencils_are_those_of_scipy():
    for axis, letter in enumerate("xyz"):
        close(applied(f"sobel:axis={letter}")[0], ndimage.sobel(IMAGE, axis, mode="constant"))
        close(applied(f"prewitt:axis={letter}")[0], ndimage.prewitt(IMAGE, axis, mode="constant"))
        close(applied("sobel:axis=all")[axis], applied(f"sobel:axis={letter}")[0])
        close(applied(f"sobel:axis={letter},per=mm")[0], ndimage.sobel(IMAGE, axis, mode="constant") / SPACING[axis])
        smooth = [np.array([3, 10, 3.0])] * 3
        smooth[axis] = np.array([-1, 0, 1.0])
        expected = ndimage.correlate(IMAGE, np.einsum("i,j,k", *smooth), mode="constant")
        close(applied(f"scharr:axis={letter}")[0], expected)
    close(applied("laplacian:per=vox")[0], ndimage.laplace(IMAGE, mode="constant"))
    parts = [ndimage.correlate1d(IMAGE, [1, -2, 1], axis, mode="constant") / SPACING[axis] ** 2 for axis in range(3)]
    close(applied("laplacian:per=mm")[0], sum(parts))
    inner = (slice(1, -1),) * 3
    for got, expected in zip(applied("gradient:per=mm"), np.gradient(IMAGE, *SPACING), strict=True):
        close(got[inner], expected[inner])


def test_what_is_made_of_gaussians_is_as_in_scipy():
    sigma = [2 / s for s in SPACING]
    firsts = [
        ndimage.gaussian_filter(IMAGE, sigma, np.eye(3, dtype=int)[a], mode="constant", truncate=4) / SPACING[a]
        for a in range(3)
    ]
    for got, expected in zip(applied("gradient:sigma=2mm,truncate=4"), firsts, strict=True):
        close(got, expected)
    close(applied("gradient:sigma=2mm,axis=y,truncate=4")[0], firsts[1])
    close(applied("log:sigma=1.2vox,truncate=4")[0], ndimage.gaussian_laplace(IMAGE, 1.2, mode="constant", truncate=4))
    seconds = {}
    for a, b in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)):
        order = np.eye(3, dtype=int)[a] + np.eye(3, dtype=int)[b]
        made = ndimage.gaussian_filter(IMAGE, sigma, order, mode="constant", truncate=4)
        seconds["xyz"[a] + "xyz"[b]] = made / (SPACING[a] * SPACING[b])
    for got, expected in zip(applied("hessian:sigma=2mm,truncate=4"), seconds.values(), strict=True):
        close(got, expected)
    close(applied("hessian:sigma=2mm,component=yz,truncate=4")[0], seconds["yz"])
    close(applied("log:sigma=2mm,truncate=4")[0], seconds["xx"] + seconds["yy"] + seconds["zz"])
    narrow, wide = (
        ndimage.gaussian_filter(IMAGE, [s / d for d in SPACING], mode="constant", truncate=4) for s in (1, 1.6)
    )
    close(applied("dog:low=1mm,truncate=4")[0], narrow - wide)
    close(applied("unsharp:sigma=1mm,amount=2.5,truncate=4")[0], IMAGE + 2.5 * (IMAGE - narrow))


def test_a_gabor_is_a_wave_along_a_direction_of_the_world():
    for affine in (np.diag(SPACING), SHEARED):
        made = Filter.parse("gabor:sigma=2.5mm,wavelength=6mm,direction=1x2x-1,phase=30").kernel(
            Grid.of(affine, "mm", "xyz")
        )
        plain = Filter.parse("gaussian:sigma=2.5mm").kernel(Grid.of(affine, "mm", "xyz"))
        at = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in made.size), indexing="ij"), -1)
        # The frame of the axes: for right angles the axes themselves, else the nearest at right angles.
        left, _, right = np.linalg.svd(affine / np.linalg.norm(affine, axis=0))
        direction = left @ right @ (np.array([1, 2, -1]) / 6**0.5)
        wave = np.cos(2 * np.pi * (at @ affine.T @ direction) / 6 + np.pi / 6)
        np.testing.assert_allclose(made.values, plain.values * wave, atol=1e-12)


def test_a_rotation_changes_nothing():
    for name in ("gaussian:fwhm=6mm", "log:sigma=2mm", "gradient:sigma=1mm", "ball:radius=3mm", "laplacian:per=mm"):
        got = Filter.parse(name).kernel(Grid.of(OBLIQUE, "mm", "xyz"))
        np.testing.assert_allclose(got.values, Filter.parse(name).kernel(PLAIN).values, atol=1e-12)


def world(affine, size):
    at = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in size), indexing="ij"), -1)
    return at @ affine.T


def test_on_a_sheared_volume_a_gaussian_is_that_of_the_world():
    grid = Grid.of(SHEARED, "mm", "xyz")
    kernel = Filter.parse("gaussian:sigma=2.2mm").kernel(grid)
    expected = np.exp(-0.5 * (world(SHEARED, kernel.size) ** 2).sum(-1) / 2.2**2)
    np.testing.assert_allclose(kernel.values[0], expected / expected.sum(), rtol=1e-9)
    assert 0 < kernel.lost < MOST_LOST
    voxels = Filter.parse("gaussian:sigma=1.3vox").kernel(grid).values
    np.testing.assert_allclose(voxels, Filter.parse("gaussian:sigma=1.3vox").kernel(PLAIN).values)


@pytest.mark.parametrize("affine", [OBLIQUE, SHEARED])
def test_derivatives_of_the_world(affine):
    """Of a quadratic function of the world's coordinates every derivative is known, whatever the voxels."""
    grid = Grid.of(affine, "mm", "xyz")
    slope, bend = np.array([1.0, -2.0, 0.5]), np.array([[2.0, 0.3, 0.1], [0.3, -1.0, 0.4], [0.1, 0.4, 0.7]])

    def at_the_middle(text):
        kernel = Filter.parse(f"{text}").kernel(grid)
        points = world(affine, kernel.size)
        f = points @ slope + 0.5 * np.einsum("...a,ab,...b", points, bend, points)
        return (kernel.values * f).sum(axis=(1, 2, 3))

    for text in ("gradient:sigma=3mm,truncate=7", "gradient:per=mm"):
        assert np.linalg.norm(at_the_middle(text)) == pytest.approx(np.linalg.norm(slope), rel=1e-3)
    for text in ("log:sigma=1.8mm,truncate=7", "laplacian:per=mm"):
        assert at_the_middle(text)[0] == pytest.approx(np.trace(bend), rel=2e-2)
    xx, xy, xz, yy, yz, zz = at_the_middle("hessian:sigma=2.4mm,truncate=7")
    got = np.linalg.eigvalsh([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    np.testing.assert_allclose(got, np.linalg.eigvalsh(bend), atol=1e-2)


def test_a_custom_kernel_is_resampled_and_keeps_its_sum():
    psf = np.random.default_rng(1).random((5, 6, 9))
    exact = Filter.parse("custom:file=p").kernel(Grid("xyz", SPACING, load=lambda name: Loaded(psf, "xyz", SPACING)))
    close(ndimage.correlate(IMAGE, exact.values[0], mode="constant"), ndimage.correlate(IMAGE, psf, mode="constant"))
    for own, unit in (((0.4, 0.5, 0.6), "mm"), ((700.0, 4000.0, 1000.0), "um"), ((3.0, 4.0, 5.0), "mm")):
        for words in ("", ",normalise=true"):
            kernel = Filter.parse(f"custom:file=p{words}").kernel(
                Grid("xyz", SPACING, load=lambda name, own=own, unit=unit: Loaded(psf, "xyz", own, unit))
            )
            assert kernel.values.sum() == pytest.approx(1 if words else psf.sum())
    bare = Filter.parse("custom:file=p").kernel(Grid("xyz", SPACING, load=lambda name: Loaded(psf, "xyz")))
    np.testing.assert_array_equal(bare.values, exact.values)
    given = Filter.parse("custom:file=p,spacing=0.5x0.5x0.5mm").kernel(
        Grid("xyz", SPACING, load=lambda name: Loaded(psf, "xyz"))
    )
    means = (given.values[0].sum(axis=(1, 2)) * np.arange(-(given.size[0] // 2), given.size[0] // 2 + 1)).sum()
    own_mean = (psf.sum(axis=(1, 2)) * (np.arange(5) - 2) * 0.5 / SPACING[0]).sum()
    assert means == pytest.approx(own_mean, abs=0.5 * psf.sum())


@pytest.mark.parametrize(
    ("text", "grid", "message"),
    [
        (
            "gaussian:fwhm=2",
            PLAIN,
            "gaussian: fwhm: has no unit: got 2, expected 2mm or 2vox, for voxels of 1x1.5x2.5 mm",
        ),
        ("gaussian:fwhm=2", Grid("zyx", (2.0, 2.0, 2.0)), "expected 2mm or 2vox, for voxels of 2x2x2 mm"),
        (
            "gaussian:fwhm=2mm",
            Grid(),
            "gaussian: fwhm: the volume has no spacing: got 2mm, expected a length in voxels",
        ),
        ("gaussian", PLAIN, "gaussian: needs a width: got neither, expected sigma or fwhm, such as fwhm=6mm"),
        ("gaussian:fwhm=2mm,sigma=1mm", PLAIN, "gaussian: needs a width: got both"),
        ("gaussian:fwhm=6mmm", PLAIN, "fwhm: not a length: got '6mmm', expected a length such as 6mm, 2vox or 1x1x2mm"),
        ("gaussian:fwhm=-1", PLAIN, "fwhm: below 0: got -1"),
        ("gaussian:fwhm=1x2mm", PLAIN, "fwhm: has 2 values"),
        ("gaussian:fwhm=1mm,order=5", PLAIN, "order: not whole numbers from 0 to 4: got 5"),
        ("gaussian:fwhm=0x1x1mm,order=1x0x0", PLAIN, "0 along an axis with a derivative"),
        ("gaussian:sigma=1mm,truncate=0", PLAIN, "truncate: not above 0"),
        ("gaussian:sigma=1mm,order=2x1x0", Grid.of(SHEARED, "mm", "xyz"), "above 2 on a sheared volume"),
        (
            "laplacian",
            PLAIN,
            "laplacian: per: not given, and axes of different spacing are joined: got voxels of 1x1.5x2.5 mm",
        ),
        ("sobel", PLAIN, "expected per=mm to divide by the spacing, or per=vox"),
        ("gradient:sigma=1mm,per=mm", PLAIN, "gradient: per: got mm beside a width"),
        ("ball", PLAIN, "ball: radius: not a number: got None"),
        ("custom:file=a", PLAIN, "custom: file: cannot be read from here"),
        ("gabor:sigma=1mm,wavelength=1x2x3mm", PLAIN, "gabor: wavelength: got 1x2x3mm, expected one length"),
        ("gabor:sigma=1mm,wavelength=1mm,direction=0x0x0", PLAIN, "direction: has no direction"),
        ("gausian:fwhm=6mm", PLAIN, "unknown filter: got 'gausian'"),
        ("gaussian:fwhm", PLAIN, "'fwhm' is no key=value"),
        ("gaussian:fwhm=1mm,fwhm=2mm", PLAIN, "is given twice"),
    ],
)
def test_refusals(text, grid, message):
    with pytest.raises(LayerError) as error:
        Filter.parse(text, "--filter").kernel(grid)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_parameter_is_told_with_the_nearest():
    with pytest.raises(
        UnknownArgument, match="gaussian has no argument of this name: got 'sigmas', expected sigma, fwhm"
    ):
        Filter.parse("gaussian:sigmas=2mm")


def test_a_bare_number_is_taken_where_it_means_one_thing():
    for grid in (Grid(), Grid("zyx", (1.0, 1.0, 1.0)), Grid("xyz", (1.0, 1.0, 1.0), "um")):
        np.testing.assert_array_equal(
            Filter.parse("gaussian:sigma=2").kernel(grid).values,
            Filter.parse("gaussian:sigma=2vox").kernel(Grid()).values,
        )


def test_words_and_texts_of_filters_mean_the_same():
    for text in (
        "gaussian:fwhm=6mm",
        "gaussian:sigma=1x1x2vox,order=0x1x0,truncate=3.5",
        "box",
        "dog:low=1mm,high=4mm",
        "sobel:axis=x",
    ):
        assert Filter.parse(text).text == text
        made = Filter.parse(text)
        assert Filter.of({"class_name": made.name, "config": made.plain()}) == made
    assert Filter.parse("mean:size=5vox").text == "box:size=5vox"
    assert Filter.of({"class_name": "gaussian", "config": {"sigma": [1, 1, "2mm"]}}).config["sigma"] == Length.parse(
        "1x1x2mm"
    )
