"""Image classification: decoding with limits, and the preprocessing steps by name."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onnxferry import scoring
from onnxferry.scoring.images import Preprocessing, decode
from onnxferry.scoring.limits import Limits
from tests import tiny


def picture(
    colour: tuple[int, ...], kind: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (40, 30)
) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, colour if len(colour) > 1 else colour[0]).save(out, kind)
    return out.getvalue()


def claiming(width: int, height: int) -> bytes:
    """A PNG whose header says that it is so large; to make one takes half a minute."""
    small = picture((1, 2, 3))
    header = b"IHDR" + struct.pack(">II", width, height) + small[24:29]
    return small[:12] + header + struct.pack(">I", zlib.crc32(header)) + small[33:]


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> scoring.Scorer:
    return scoring.load(
        tiny.image_classification(tmp_path_factory.mktemp("image"), limits=Limits(pixels=10_000))
    )


def top(response: scoring.Response) -> str:
    assert response.status == 200, response.body
    label: str = json.loads(response.body)[0]["label"]
    return label


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_every_format_is_read(scorer: scoring.Scorer, kind: str) -> None:
    body = picture((10, 200, 10), kind)
    assert top(scorer.handle(scoring.Request(body, f"image/{kind.lower()}"))) == "green"


@pytest.mark.parametrize(
    ("mode", "colour"),
    [("RGBA", (0, 0, 250, 0)), ("CMYK", (255, 255, 0, 0)), ("P", (0,)), ("L", (9,))],
)
def test_pictures_that_are_not_rgb_are_converted(
    scorer: scoring.Scorer, mode: str, colour: tuple[int, ...]
) -> None:
    kind = "JPEG" if mode == "CMYK" else "PNG"
    response = scorer.handle(
        scoring.Request(picture(colour, kind, mode), "application/octet-stream")
    )
    # grey: all equal, the first label
    assert top(response) == ("blue" if len(colour) > 1 else "red")


def test_base64_in_json_answers_as_the_bytes_do(scorer: scoring.Scorer) -> None:
    body = picture((200, 10, 10))
    text = base64.b64encode(body).decode()
    direct = json.loads(scorer.handle(scoring.Request(body, "image/png")).body)
    for value in (text, f"data:image/png;base64,{text}"):
        assert (
            json.loads(scorer.handle(scoring.Request(json.dumps({"inputs": value}).encode())).body)
            == direct
        )
    both = {"inputs": [text, text], "parameters": {"top_k": 1}}
    assert json.loads(scorer.handle(scoring.Request(json.dumps(both).encode())).body) == [
        direct[:1],
        direct[:1],
    ]


@pytest.mark.parametrize("every", [4, 7, 60, 64, 76])
def test_base64_may_be_broken_into_lines(scorer: scoring.Scorer, every: int) -> None:
    """As `base64 FILE` and Python's encodebytes write it, and transformers' pipeline reads it."""
    body = picture((200, 10, 10))
    text = base64.b64encode(body).decode()
    lines = [text[i : i + every] for i in range(0, len(text), every)]
    direct = scorer.handle(scoring.Request(body, "image/png")).body
    for value in ("\n".join(lines), "\r\n".join(lines) + "\r\n", " \t".join(lines)):
        for sent in (value, f"data:image/png;base64,{value}"):
            request = scoring.Request(json.dumps({"inputs": sent}).encode())
            assert scorer.handle(request).body == direct


@pytest.mark.parametrize("media_type", ["image/x-image", "image/jpg", "IMAGE/X-Image; q=1"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_the_bytes_tell_the_format(scorer: scoring.Scorer, media_type: str, kind: str) -> None:
    body = picture((10, 200, 10), kind)
    assert top(scorer.handle(scoring.Request(body, media_type))) == "green"


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_grey_of_16_bits_is_scaled(kind: str, order: str) -> None:
    """As Pillow reads colours of 16 bits: by their high byte."""
    values = np.array([[0, 255, 256, 1000, 32768, 65535]], np.uint16)
    out = io.BytesIO()
    if order == "<u2" or kind == "PNG":
        Image.fromarray(values).save(out, kind)
    else:
        Image.frombytes("I;16B", (6, 1), values.astype(order).tobytes()).save(out, kind)
    for mode in ("RGB", "L"):
        decoded = np.asarray(decode(out.getvalue(), 100, mode))
        assert decoded.reshape(6, -1)[:, 0].tolist() == [0, 0, 1, 3, 128, 255]


def test_colours_of_16_bits_are_read_by_their_high_byte() -> None:
    """What the grey ones are held to: a PNG of 16 bits a colour, written by hand."""
    values = np.array([[0, 255, 256, 1000, 32768, 65535]], ">u2").repeat(3).tobytes()
    header = struct.pack(">IIBBBBB", 6, 1, 16, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" + values)), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in parts
    )
    found = np.asarray(decode(b"\x89PNG\r\n\x1a\n" + b"".join(chunks), 100))
    assert found[0, :, 0].tolist() == [0, 0, 1, 3, 128, 255]


@pytest.mark.parametrize(
    ("dtype", "names"), [(np.float32, "floating-point numbers"), (np.int32, "32-bit")]
)
def test_values_without_a_range_are_refused(
    scorer: scoring.Scorer, dtype: type, names: str
) -> None:
    """Pillow would clip them: 0 to 1 becomes black, and integers above 255 white."""
    out = io.BytesIO()
    Image.fromarray(np.array([[0, 1], [300, 70000]], dtype)).save(out, "TIFF")
    response = scorer.handle(scoring.Request(out.getvalue(), "image/tiff"))
    assert response.status == 400
    message = json.loads(response.body)["error"]["message"]
    assert names in message
    assert "send 8 or 16 bits for each colour" in message


def test_a_picture_in_cielab_is_refused_with_the_reason(scorer: scoring.Scorer) -> None:
    response = scorer.handle(scoring.Request(picture((1, 2, 3), "TIFF", "LAB"), "image/tiff"))
    assert response.status == 400
    assert "CIELAB" in json.loads(response.body)["error"]["message"]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_every_colour_mode_is_what_pillow_makes_of_it(mode: str) -> None:
    """As load_image of transformers does."""
    noise = np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8)
    image = Image.fromarray(noise).convert(mode)
    out = io.BytesIO()
    kind = "TIFF" if mode == "CMYK" else "PNG"
    image.save(out, kind)
    for wanted in ("RGB", "L"):
        ours = np.asarray(decode(out.getvalue(), 100, wanted))
        theirs = Image.open(io.BytesIO(out.getvalue())).convert("RGB").convert(wanted)
        assert np.array_equal(ours, np.asarray(theirs))


def test_one_number_of_mean_makes_pictures_grey(tmp_path: Path) -> None:
    """ITU-R 601: red counts 0.299, green 0.587, blue 0.114."""
    settings = {
        "preprocess": [{"op": "resize", "size": [2, 2]}],
        "rescale_factor": 1 / 255,
        "image_mean": [0.5],
        "image_std": [0.5],
    }
    preprocessing = Preprocessing.read(settings)
    pixels = preprocessing.apply(decode(picture((255, 0, 0)), 10_000, preprocessing.mode))
    assert pixels.shape == (1, 2, 2)
    np.testing.assert_allclose(pixels, 2 * 76 / 255 - 1, rtol=1e-6)


def test_exif_orientation_is_applied() -> None:
    """A picture whose left half is red, marked as lying on its side, is preprocessed as it is
    seen."""
    shown = Image.new("RGB", (20, 20), (0, 0, 255))
    shown.paste((255, 0, 0), (0, 0, 10, 20))
    out, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    shown.save(out, "PNG", exif=exif)
    assert decode(out.getvalue(), 1000).getpixel((10, 2)) == (255, 0, 0)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_picture_in_colour_is_in_memory_once(
    monkeypatch: pytest.MonkeyPatch, orientation: int
) -> None:
    """Each copy of a picture of 50 million pixels would take 200 MB."""
    out, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (20, 10)).save(out, "JPEG", exif=exif)
    for made in ("copy", "convert", "transpose"):
        monkeypatch.delattr(Image.Image, made)
    assert decode(out.getvalue(), 1000).size == ((20, 10) if orientation == 1 else (10, 20))


def test_the_largest_picture_is_one_block_of_memory(scorer: scoring.Scorer) -> None:
    assert scorer.spec.limits.pixels * 4 <= Image.core.get_block_size()


def test_the_steps_are_crop_then_resize_then_scaling() -> None:
    settings = {
        "preprocess": [{"op": "resize_shortest", "size": 8}, {"op": "center_crop", "size": [4, 4]}],
        "rescale_factor": 1 / 255,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.25, 0.5, 1.0],
    }
    pixels = Preprocessing.read(settings).apply(Image.new("RGB", (32, 16), (255, 0, 255)))
    assert pixels.shape == (3, 4, 4)
    assert pixels.dtype == np.float32
    np.testing.assert_allclose(pixels[:, 0, 0], [2, -1, 0.5], rtol=1e-6)


def test_a_picture_too_narrow_to_be_resized_is_refused() -> None:
    settings = {
        "preprocess": [
            {"op": "resize_shortest", "size": 256},
            {"op": "center_crop", "size": [224, 224]},
        ],
        "rescale_factor": 1,
        "image_mean": [0, 0, 0],
        "image_std": [1, 1, 1],
    }
    preprocessing = Preprocessing.read(settings)
    assert preprocessing.apply(Image.new("RGB", (2, 1000))).shape == (3, 224, 224)
    with pytest.raises(scoring.ScoringError, match="1x9000 pixels; it is too narrow"):
        preprocessing.apply(Image.new("RGB", (1, 9000)))


@pytest.mark.parametrize(
    ("body", "status", "code", "names"),
    [
        (picture((1, 2, 3), "JPEG")[:-200], 400, "invalid_image", "truncated or damaged"),
        (picture((1, 2, 3), "PNG")[:60], 400, "invalid_image", "truncated or damaged"),
        (b"not a picture", 400, "invalid_image", "13 bytes are not a picture"),
        (b"", 400, "invalid_image", "0 bytes"),
        (
            picture((1, 2, 3), size=(101, 100)),
            413,
            "too_large",
            "101x100 pixels; this model takes at most 10000",
        ),
        (claiming(30_000, 30_000), 413, "too_large", "pixels"),
    ],
)
def test_bad_pictures_are_refused(
    scorer: scoring.Scorer, body: bytes, status: int, code: str, names: str
) -> None:
    response = scorer.handle(scoring.Request(body, "image/jpeg"))
    error = json.loads(response.body)["error"]
    assert (response.status, error["code"]) == (status, code)
    assert names in error["message"]


@pytest.mark.parametrize(
    ("value", "status", "names"),
    [
        ("https://example.com/cat.jpg", 403, "'inputs' is a URL, which is not fetched"),
        ("%%%", 400, "'inputs' is not base64"),
    ],
)
def test_strings_that_are_no_picture_are_refused(
    scorer: scoring.Scorer, value: str, status: int, names: str
) -> None:
    response = scorer.handle(scoring.Request(json.dumps({"inputs": value}).encode()))
    assert response.status == status
    assert names in json.loads(response.body)["error"]["message"]


def test_a_step_that_is_no_object_stops_the_load(tmp_path: Path) -> None:
    folder = tiny.image_classification(tmp_path)
    spec = json.loads((folder / "model_spec.json").read_text())
    spec["settings"]["preprocess"] = ["resize"]
    (folder / "model_spec.json").write_text(json.dumps(spec))
    with pytest.raises(scoring.ScoringError, match="do not fit task 'image-classification'"):
        scoring.load(folder)


def test_an_unknown_step_stops_the_load(tmp_path: Path) -> None:
    folder = tiny.image_classification(tmp_path)
    spec = json.loads((folder / "model_spec.json").read_text())
    spec["settings"]["preprocess"][0]["op"] = "squeeze"
    (folder / "model_spec.json").write_text(json.dumps(spec))
    with pytest.raises(
        scoring.ScoringError, match="'squeeze' is not one of resize, resize_shortest"
    ):
        scoring.load(folder)


def test_function_to_apply_is_the_callers_choice(scorer: scoring.Scorer) -> None:
    text = base64.b64encode(picture((255, 127, 127))).decode()

    def scores(**parameters: str) -> list[float]:
        body = json.dumps({"inputs": text, "parameters": parameters}).encode()
        return [entry["score"] for entry in json.loads(scorer.handle(scoring.Request(body)).body)]

    assert scores(function_to_apply="none") == [1, 0]
    assert scores(function_to_apply="sigmoid") == pytest.approx([1 / (1 + np.exp(-1)), 0.5])
    assert (
        scores(function_to_apply="softmax")
        == scores()
        == pytest.approx([np.e / (np.e + 2), 1 / (np.e + 2)])
    )


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"preprocess": None}, "'settings.preprocess' is missing"),
        ({"preprocess": {}}, "'settings.preprocess' must be a list of steps"),
        (
            {"preprocess": [{"op": "blur"}]},
            "'settings.preprocess[0]': preprocess step 'blur' is not one of resize",
        ),
        ({"preprocess": ["resize"]}, "preprocess step 'resize' is not one of"),
        (
            {"preprocess": [{"op": "resize"}]},
            "'settings.preprocess[0].size' must be a list of two integers",
        ),
        (
            {"preprocess": [{"op": "resize", "size": 4}]},
            "size' must be a list of two integers, height and width",
        ),
        ({"preprocess": [{"op": "resize_shortest", "size": 0}]}, "size' must be an integer"),
        (
            {"preprocess": [{"op": "center_crop_fraction", "fraction": 2}]},
            "fraction' must be a number above 0",
        ),
        (
            {"preprocess": [{"op": "resize", "size": [4, 4], "resample": "x"}]},
            "resample 'x' is not one of nearest",
        ),
        ({"image_mean": [1, 2]}, "'settings.image_mean' must be a list of three numbers, or of"),
        ({"image_mean": [1]}, "'settings.image_mean' has 1 number(s) and 'image_std' 3"),
        ({"image_std": ["1", 1, 1]}, "'settings.image_std[0]' must be a number, got a string"),
        ({"rescale_factor": "1/255"}, "'settings.rescale_factor' must be a number"),
        ({"resolution": 4}, "unknown setting(s) resolution; known: image_mean"),
    ],
)
def test_settings_that_no_picture_fits_stop_the_load(
    tmp_path: Path, settings: dict[str, object], names: str
) -> None:
    path = tiny.image_classification(tmp_path) / "model_spec.json"
    spec = json.loads(path.read_text())
    path.write_text(json.dumps({**spec, "settings": {**spec["settings"], **settings}}))
    with pytest.raises(scoring.ScoringError) as caught:
        scoring.load(tmp_path)
    assert names in str(caught.value)
