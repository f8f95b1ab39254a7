"""The whole command, with the tiny models, in processes as users start them."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from phototriage.cli.command import main
from phototriage.models.model_set import load_models
from phototriage.scoring.parts import folder_of
from phototriage.scoring.schema import body_of, metadata_of, schema_of
from phototriage.server.http_api import HttpApi
from phototriage.settings import Settings
from phototriage.triage.schemas import Part
from tests.asgi_client import AsgiClient
from tests.scored_models import CLASSIFIER, write_scored
from tests.tiny_models import solid, write_embedder

SECONDS = 60  # for anything to happen on a busy machine
ANY = {"content-type": "application/octet-stream"}
ALL = "classify,difficulty,saliency,embed"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_scored(folder)
    write_embedder(folder / "tiny_embedder")
    return folder


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    monkeypatch.setenv("PHOTOTRIAGE_MODELS_DIRECTORY", str(directory))
    monkeypatch.setenv("PHOTOTRIAGE_DEFAULT_CLASSIFIER", CLASSIFIER)
    monkeypatch.setenv("PHOTOTRIAGE_PROVIDER", "cpu")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 images of one colour each, JPEGs with noise, a broken one, one that is text, one that isn't there."""
    folder = tmp_path_factory.mktemp("photos")
    draw = np.random.default_rng(0)
    for number in range(40):
        red, green, blue = draw.integers(0, 256, 3).tolist()
        (folder / f"{number:03}.png").write_bytes(solid((red, green, blue), height=20 + number, width=30))
    for number in range(8):
        file = io.BytesIO()
        Image.fromarray(draw.integers(0, 256, (40, 60, 3), np.uint8)).save(file, "JPEG")
        (folder / f"noise_{number}.jpg").write_bytes(file.getvalue())
    (folder / "broken.png").write_bytes(solid((9, 9, 9), 40, 40)[:60])
    (folder / "text.jpg").write_bytes(b"a text")
    (folder / "gone.jpg").symlink_to(folder / "nowhere")
    return folder


def score(source: Path, output: Path, *options: str) -> int:
    return main(["score", str(source), "-o", str(output), "--workers", "2", *options])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, photos: Path, directory: Path) -> bytes:
    output = tmp_path_factory.mktemp("whole") / "scores.parquet"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PHOTOTRIAGE_MODELS_DIRECTORY", str(directory))
        patch.setenv("PHOTOTRIAGE_DEFAULT_CLASSIFIER", CLASSIFIER)
        patch.setenv("PHOTOTRIAGE_PROVIDER", "cpu")
        assert score(photos, output, "--include", ALL) == 1
    assert not folder_of(output).exists()
    assert [path.name for path in output.parent.iterdir()] == ["scores.parquet"]
    return output.read_bytes()


def rows_of(content: bytes) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = parquet.read_table(io.BytesIO(content)).to_pylist()
    return rows


def test_rows_are_the_bodies_of_the_api(undisturbed: bytes, photos: Path, directory: Path) -> None:
    settings = Settings(
        models_directory=directory, threads=1, provider="cpu", log_requests=False, default_classifier=CLASSIFIER
    )
    api = HttpApi()
    api.start(settings, load_models(settings))
    client = AsgiClient(api)
    rows = {row["name"]: row for row in rows_of(undisturbed)}
    assert list(rows) == sorted(path.name for path in photos.iterdir())
    for name, row in rows.items():
        if name != "gone.jpg":
            data = (photos / str(name)).read_bytes()
            assert body_of(row) == client.post(f"/v1/triage?include={ALL}", content=data, headers=ANY).json()
    assert {body_of(rows[name])["code"] for name in ("broken.png", "text.jpg", "gone.jpg")} == {
        "undecodable_image",
        "unsupported_image",
        "unreadable_file",
    }


def test_a_file_tells_what_made_it(undisturbed: bytes, photos: Path) -> None:
    metadata = metadata_of(parquet.read_schema(io.BytesIO(undisturbed)))
    assert metadata["source"] == str(photos)
    assert set(json.loads(metadata["models"])) == {CLASSIFIER, "tiny_autoencoder", "tiny_embedder"}
    assert json.loads(metadata["question"])["include"] == ALL.split(",")
    assert metadata["format"] == "1"


def test_only_what_is_asked_has_columns(photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "scores.parquet"
    assert score(photos, output, "--include", "classify", "--top-k", "1") == 1
    table = parquet.read_table(output)
    assert table.column_names == ["name", "classify", "error"]
    assert {len(row["probabilities"]) for row in table["classify"].to_pylist() if row} == {1}


def test_errors_are_told_and_are_rows(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "scores.parquet"
    assert score(photos, output, "--include", "classify") == 1
    printed = capsys.readouterr().err
    assert "phototriage: text.jpg: The file starts with the bytes 61 20" in printed
    assert "51 of 51 images" in printed
    assert "3 errors" in printed
    assert printed.splitlines()[-1] == f"{output}: 51 images, 3 of them errors"


def start(source: Path, output: Path, stderr: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "phototriage.cli",
        "score",
        str(source),
        "-o",
        str(output),
        "--workers",
        "2",
    ]
    return subprocess.Popen([*command, "--include", ALL], stderr=stderr)


def wait_for_parts(output: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + SECONDS
    while process.poll() is None and time.monotonic() < end:
        if len(list(folder_of(output).glob("*.parquet"))) >= count:
            return
        time.sleep(0.002)
    raise AssertionError("no parts")


def test_a_run_that_is_killed_goes_on_to_the_same_file(undisturbed: bytes, photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "scores.parquet"
    for parts in (1, 4):
        process = start(photos, output)
        wait_for_parts(output, parts, process)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(SECONDS)
    assert not output.exists()
    assert start(photos, output).wait(SECONDS) == 1
    # Written to, it is another file's bytes but for the source's name, which is the same here.
    assert output.read_bytes() == undisturbed
    assert not folder_of(output).exists()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_stops_it_kindly(photos: Path, tmp_path: Path, how: signal.Signals) -> None:
    output, many = tmp_path / "scores.parquet", tmp_path / "many"
    many.mkdir()
    for number in range(4000):  # so many that it isn't done before the signal comes, however busy the machine is
        (many / f"{number}.png").symlink_to(photos / f"{number % 40:03}.png")
    process = start(many, output, stderr=subprocess.PIPE)
    wait_for_parts(output, 1, process)
    process.send_signal(how)
    _, printed = process.communicate(timeout=SECONDS)
    assert process.returncode == 130
    assert printed.decode().splitlines()[-1] == (
        "phototriage: stopped. What is done is kept: the same command goes on."
    )
    assert b"Traceback" not in printed


def test_a_changed_source_is_refused_and_restart_begins_anew(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, output = tmp_path / "list.txt", tmp_path / "scores.parquet"
    names = sorted(path.name for path in photos.glob("0*.png"))
    source.write_text("\n".join(str(photos / name) for name in names))
    process = start(source, output)
    wait_for_parts(output, 1, process)
    process.kill()
    process.wait(SECONDS)
    source.write_text("\n".join(str(photos / name) for name in names[1:]))
    assert score(source, output, "--include", ALL) == 2
    assert "aren't those" in (printed := capsys.readouterr().err)
    assert "--restart" in printed
    assert score(source, output, "--include", "classify") == 2
    assert "question.include was" in capsys.readouterr().err
    assert score(source, output, "--include", ALL, "--restart") == 0
    assert parquet.read_table(output).num_rows == 39


def test_fewer_images_than_before_are_refused(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, output = tmp_path / "list.txt", tmp_path / "scores.parquet"
    lines = [str(path) for path in sorted(photos.glob("0*.png"))]
    source.write_text("\n".join(lines))
    process = start(source, output)
    wait_for_parts(output, 5, process)
    process.kill()
    process.wait(SECONDS)
    size = json.loads((folder_of(output) / "run.json").read_text())["shard_size"]
    source.write_text("\n".join(lines[:size]))
    assert score(source, output, "--include", ALL) == 2
    assert "more images than there are now" in capsys.readouterr().err


def test_an_output_is_not_written_by_two(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "scores.parquet"
    process = start(photos, output)
    wait_for_parts(output, 1, process)
    process.send_signal(signal.SIGSTOP)
    try:
        assert score(photos, output, "--include", ALL) == 2
        assert "Another process writes" in capsys.readouterr().err
    finally:
        process.kill()
        process.wait(SECONDS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--include", "classify,magic"], "include: "),
        (["--classifier", "nobody"], "No classifier is called 'nobody'"),
        (["--include", "saliency", "--target", "unicorn"], "no label 'unicorn'"),
        (["--column", "path"], "--column is for tables"),
    ],
)
def test_what_cannot_be_asked_is_told_at_once(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert score(photos, tmp_path / "scores.parquet", *options) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_source_without_images_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert score(tmp_path / "empty", tmp_path / "scores.parquet") == 2
    assert "holds no images" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_a_folder_that_is_not_there_is_told(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert score(photos, tmp_path / "nowhere" / "scores.parquet") == 2
    assert "there is no folder" in capsys.readouterr().err


def test_a_missing_package_is_named(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in [name for name in sys.modules if name.startswith("phototriage.scoring.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delattr("phototriage.scoring.run", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert score(photos, tmp_path / "scores.parquet") == 2
    assert (
        "score needs the package pyarrow, of the extra 'score': pip install 'phototriage[score]'"
        in capsys.readouterr().err
    )


def test_row_groups_do_not_depend_on_the_parts(photos: Path, tmp_path: Path) -> None:
    outputs = []
    for workers in ("1", "3"):
        output = tmp_path / f"{workers}.parquet"
        assert main(["score", str(photos), "-o", str(output), "--include", "embed", "--workers", workers]) == 1
        outputs.append(output.read_bytes())
    assert outputs[0] == outputs[1]
    assert isinstance(parquet.read_table(io.BytesIO(outputs[0])), pa.Table)


def test_an_output_may_be_called_as_a_url_is(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert score(photos, Path("T10:00.parquet"), "--include", "classify") == 1
    with Path("T10:00.parquet").open("rb") as file:
        assert parquet.read_table(file).num_rows == 51


def test_a_finished_output_is_not_written_over(
    undisturbed: bytes, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "scores.parquet"
    output.write_bytes(undisturbed)
    assert score(photos, output, "--include", "classify") == 2
    assert "is there already" in capsys.readouterr().err
    assert output.read_bytes() == undisturbed
    assert [path.name for path in tmp_path.iterdir()] == ["scores.parquet"]
    assert score(photos, output, "--include", "classify", "--restart") == 1
    assert parquet.read_table(output).column_names == ["name", "classify", "error"]


@pytest.mark.parametrize("packed", [False, True])
def test_files_that_are_passed_over_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], packed: bool
) -> None:
    (tmp_path / "photos" / "below").mkdir(parents=True)
    for name in ("a.png", "b.cr3", "below/c.CR3", "below/README", ".hidden"):
        (tmp_path / "photos" / name).write_bytes(solid((1, 2, 3), 20, 20))
    source = tmp_path / "photos"
    if packed:  # of which the members are known at the end
        source = tmp_path / "photos.tgz"
        with tarfile.open(source, "w:gz") as archive:
            archive.add(tmp_path / "photos", "photos")
    assert score(source, tmp_path / "scores.parquet", "--include", "classify") == 0
    printed = capsys.readouterr().err
    assert printed.count("passed over, not called as images are: 3 files (2 .cr3, 1 without a suffix)") == 1


@pytest.mark.parametrize("table", ["empty.csv", "two.parquet", "missing.csv"])
def test_a_table_that_does_not_fit_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], table: str
) -> None:
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "missing.csv").write_text("path,x\na.png,1\n,2\n")
    twice = pa.Table.from_arrays([pa.array(["a.png"])] * 2, ["path", "path"])
    parquet.write_table(twice, tmp_path / "two.parquet")
    assert score(tmp_path / table, tmp_path / "scores.parquet", "--include", "classify") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"phototriage: {tmp_path / table}")
    assert not (tmp_path / "scores.parquet").exists()


def test_a_folder_of_its_own_name_is_in_nobodys_way(photos: Path, tmp_path: Path) -> None:
    """As the one that a clone lies in is."""
    (tmp_path / "phototriage").mkdir()
    command = [str(Path(sys.executable).parent / "phototriage"), "score", str(photos), "-o", "scores.parquet"]
    done = subprocess.run([*command, "--include", "classify"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert (tmp_path / "scores.parquet").exists()


def test_the_documents_examples_run(photos: Path, tmp_path: Path) -> None:
    assert score(photos, tmp_path / "scores.parquet", "--near-duplicates") == 1
    text = (Path(__file__).parents[2] / "docs" / "reference" / "scores.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        done = subprocess.run([sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert "undecodable_image" in done.stdout


def test_every_column_is_described() -> None:
    text = (Path(__file__).parents[2] / "docs" / "reference" / "scores.md").read_text(encoding="utf-8")
    for column in schema_of(get_args(Part), near_duplicates=True):
        assert f"| `{column.name}` | " in text
        if isinstance(column.type, pa.StructType):
            assert [field.name for field in column.type if f"`{field.name}`" not in text] == []
