from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import socket
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from phototriage.common.errors import PhototriageError, TooLarge, UnreadableFile
from phototriage.images.pixels import ImageLimits
from phototriage.scoring.image_references import BytesInMemory, FileRange, Item, LocalFile
from phototriage.scoring.photo_source import SourceError, open_source

LIMITS = ImageLimits(max_bytes=100)
# In the order of their names as text: `.` comes before `/`.
NAMES = ["a.jpg", "a/b.png", "a/c/d.JPEG", "b.webp"]


def content(name: str) -> bytes:
    return f"bytes of {name}".encode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for name in [*NAMES, "notes.txt", ".hidden.jpg", ".git/x.jpg", "a/.y.png"]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content(name))
    (root / "link").symlink_to(root / "a")
    return root


def read(where: object, column: str | None = None) -> dict[str, bytes]:
    items = list(open_source(str(where), column, LIMITS).items())
    assert len({item.name for item in items}) == len(items)
    return {item.name: item.reference.read(LIMITS) for item in items}


COMPRESSIONS = [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)]
EXPECTED = {name: content(name) for name in NAMES}


def test_a_folder_gives_images_at_any_depth_in_the_order_of_their_names(folder: Path) -> None:
    contents = read(folder)
    assert contents == EXPECTED
    assert list(contents) == NAMES == sorted(NAMES)
    assert open_source(str(folder), None, LIMITS).count() == len(NAMES)


def test_links_to_files_are_followed_and_those_that_lead_nowhere_are_told(folder: Path) -> None:
    (folder / "z.png").symlink_to(folder / "a.jpg")
    (folder / "zz.png").symlink_to(folder / "nowhere")
    items = {item.name: item for item in open_source(str(folder), None, LIMITS).items()}
    assert items["z.png"].reference.read(LIMITS) == content("a.jpg")
    with pytest.raises(UnreadableFile, match="It is a link to what isn't there"):
        items["zz.png"].reference.read(LIMITS)


def test_a_name_that_is_no_text_is_shown_escaped(folder: Path) -> None:
    (folder / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"x")
    assert read(folder)["caf\\xe9.jpg"] == b"x"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_an_error_of_its_own(folder: Path) -> None:
    (folder / "a").chmod(0)
    item = next(item for item in open_source(str(folder), None, LIMITS).items() if item.name == "a/")
    (folder / "a").chmod(0o755)
    with pytest.raises(UnreadableFile, match="can't be read"):
        item.reference.read(LIMITS)


def pack(folder: Path, path: Path, mode: str) -> Path:
    archive: tarfile.TarFile
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name in ["a.jpg", "a", "b.webp", "notes.txt", ".hidden.jpg", "link"]:
            archive.add(folder / name, name)
    return path


@pytest.mark.parametrize(
    ("suffix", "mode"), [(".tar", "w"), (".tar.gz", "w:gz"), (".tgz", "w:gz"), (".tar.xz", "w:xz")]
)
def test_tars_give_the_same(folder: Path, tmp_path: Path, suffix: str, mode: str) -> None:
    path = pack(folder, tmp_path / f"photos{suffix}", mode)
    assert read(path) == EXPECTED
    # The members of a compressed one are known when all of it is unpacked.
    assert open_source(str(path), None, LIMITS).count() == (len(NAMES) if suffix == ".tar" else None)


def test_a_tar_keeps_no_members_in_memory(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pack(folder, tmp_path / "photos.tar", "w")
    opened: list[tarfile.TarFile] = []
    original = tarfile.TarFile.next

    def remember(self: tarfile.TarFile) -> tarfile.TarInfo | None:
        opened.append(self)
        return original(self)

    monkeypatch.setattr(tarfile.TarFile, "next", remember)
    for _ in open_source(str(path), None, LIMITS).items():
        assert len(opened[-1].members) <= 1  # type: ignore[attr-defined]


def test_a_tar_that_is_cut_off_is_told_before_any_work(folder: Path, tmp_path: Path) -> None:
    path = pack(folder, tmp_path / "photos.tar", "w")
    path.write_bytes(path.read_bytes()[:1300])
    with pytest.raises(SourceError, match=r"photos\.tar is damaged or cut off: .* Copy it again"):
        open_source(str(path), None, LIMITS).count()


def test_a_gzip_that_is_cut_off_is_told(folder: Path, tmp_path: Path) -> None:
    path = pack(folder, tmp_path / "photos.tgz", "w:gz")
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(SourceError, match=r"damaged or cut off|can't be read"):
        list(open_source(str(path), None, LIMITS).items())


def test_a_list_names_files_from_its_own_folder(folder: Path) -> None:
    listed = folder / "list.txt"
    listed.write_bytes("\ufeffb.webp\r\n\r\na/b.png\nb.webp\nmissing.jpg\n".encode())
    items = list(open_source(str(listed), None, LIMITS).items())
    assert [item.name for item in items] == ["b.webp", "a/b.png", "b.webp", "missing.jpg"]
    assert items[0].reference.read(LIMITS) == content("b.webp")
    with pytest.raises(FileNotFoundError):
        items[3].reference.read(LIMITS)


def test_a_list_may_name_what_no_file_is_called(folder: Path) -> None:
    (folder / "list.txt").write_bytes(b"a\0.jpg\n")
    (item,) = open_source(str(folder / "list.txt"), None, LIMITS).items()
    with pytest.raises(UnreadableFile, match="null byte"):
        item.reference.read(LIMITS)


def test_a_csv_names_files_in_a_column(folder: Path) -> None:
    table = folder / "table.csv"
    table.write_text('\ufeffid,photo\n1,a.jpg\n2,"a/b.png"\n')
    items = list(open_source(str(table), "photo", LIMITS).items())
    assert [item.name for item in items] == ["a.jpg", "a/b.png"]
    with pytest.raises(SourceError, match=r"no column 'path'; it has id, photo\. Name one by --column"):
        open_source(str(table), None, LIMITS).count()


def test_a_parquet_names_files_in_a_column(folder: Path) -> None:
    table = folder / "table.parquet"
    parquet.write_table(pa.table({"path": ["b.webp"], "size": [1]}), table)
    items = list(open_source(str(table), None, LIMITS).items())
    assert [item.name for item in items] == ["b.webp"]
    assert items[0].reference.read(LIMITS) == content("b.webp")
    with pytest.raises(SourceError, match="'size' is of type int64, and paths are strings"):
        open_source(str(table), "size", LIMITS).count()


@pytest.mark.parametrize("file", ["table.csv", "list.txt"])
def test_lines_end_as_they_did_on_older_machines(folder: Path, file: str) -> None:
    (folder / file).write_bytes(b"path\ra.jpg\rb.webp\r"[5 if file == "list.txt" else 0 :])
    assert read(folder / file) == {name: content(name) for name in ("a.jpg", "b.webp")}


def table_of(*columns: tuple[str, pa.Array]) -> bytes:
    file = io.BytesIO()
    parquet.write_table(pa.Table.from_arrays([array for _, array in columns], [name for name, _ in columns]), file)
    return file.getvalue()


TEXT = pa.array(["a.jpg"])
LATIN_1 = pa.Array.from_buffers(pa.string(), 2, pa.array([b"a.jpg", b"\xe9.jpg"]).buffers())
READABLE = table_of(("path", pa.array(["a.jpg"] * 50)))


@pytest.mark.parametrize(
    ("file", "table", "told"),
    [
        ("t.csv", b"path,path\na.jpg,b.webp\n", "2 columns 'path'. Rename or remove all but one"),
        ("t.csv", b"path;label\na.jpg;x\n", "separated by semicolons. Save it with commas"),
        ("t.csv", b"", "is empty"),
        ("t.csv", b"path,x\na.jpg,1\n ,2\n", "line 3: the column 'path' names no file. Fill it in"),
        ("t.csv", b"path,x\na.jpg,1\nb,b.webp,2\n", "line 3 has 3 cells"),
        ("t.csv", b"path,x\na.jpg,1\n\xe9.webp,2\n", "line 3 isn't UTF-8"),
        ("t.txt", b"\n \n", "is empty. It needs a path on each line"),
        ("t.txt", b"a.jpg\n\xe9.jpg\n", "line 2 isn't UTF-8"),
        ("t.txt", "a.jpg\n".encode("utf-16"), "line 1 is in UTF-16"),
        ("t.parquet", table_of(("path", TEXT), ("path", TEXT)), "2 columns 'path'. Rename or remove all but one"),
        ("t.parquet", table_of(("path", TEXT.slice(1))), "has no rows"),
        ("t.parquet", table_of(), "no column 'path'; it has no columns"),
        ("t.parquet", table_of(("path", pa.array(["a.jpg", None]))), "row 2: the column 'path' names no file"),
        ("t.parquet", table_of(("path", pa.array([None, None]))), "of type null, and paths are strings"),
        ("t.parquet", table_of(("path", pa.array([b"a.jpg"]))), "of type binary, and paths are strings"),
        ("t.parquet", table_of(("path", LATIN_1)), "row 2 isn't UTF-8"),
        ("t.parquet", b"", "no Parquet file that can be read: .*Write it anew"),
        ("t.parquet", READABLE[: len(READABLE) // 2], "no Parquet file that can be read: .*Write it anew"),
        ("t.parquet", READABLE[:4] + b"\xff" * 40 + READABLE[44:], "no Parquet file that can be read: .*Write it anew"),
    ],
)
@pytest.mark.parametrize("remote", [False, True])
def test_tables_that_do_not_fit_are_told_in_one_line(
    folder: Path, file: str, table: bytes, told: str, remote: bool
) -> None:
    (folder / file).write_bytes(table)
    where = f"file://{folder}/{file}" if remote else f"{folder}/{file}"
    with pytest.raises(SourceError, match=told) as raised:
        open_source(where, None, LIMITS).count()
    assert str(raised.value).startswith(where)
    assert "\n" not in str(raised.value)


def test_urls_of_folders_tars_and_tables_give_the_same(folder: Path, tmp_path: Path) -> None:
    tar = pack(folder, tmp_path / "photos.tar", "w")
    (folder / "table.csv").write_text("path\n" + "\n".join(NAMES))
    assert read(f"file://{folder}") == EXPECTED
    assert list(read(f"file://{folder}")) == NAMES
    assert read(f"file://{tar}") == EXPECTED
    assert read(f"file://{folder}/table.csv") == EXPECTED
    assert read(f"file://{folder}/a.jpg") == {"a.jpg": content("a.jpg")}


def test_a_zip_is_a_url_too(folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for name in NAMES:
            archive.write(folder / name, name)
    assert read(f"zip://::file://{tmp_path}/photos.zip") == EXPECTED


def test_a_table_may_name_urls(folder: Path) -> None:
    (folder / "list.txt").write_text(f"file://{folder}/a.jpg\n")
    assert read(folder / "list.txt") == {f"file://{folder}/a.jpg": content("a.jpg")}


def test_a_url_of_a_protocol_that_is_not_known_costs_no_other_its_row(folder: Path) -> None:
    (folder / "list.txt").write_text("what://ever.jpg\na.jpg\n")
    first, second = open_source(str(folder / "list.txt"), None, LIMITS).items()
    with pytest.raises(UnreadableFile, match="It can't be opened: Protocol not known: what"):
        first.reference.read(LIMITS)
    assert second.reference.read(LIMITS) == content("a.jpg")


@pytest.mark.parametrize("where", ["nowhere", "file:///nowhere", "what://ever"])
def test_what_is_not_there_is_told(where: str) -> None:
    with pytest.raises(SourceError, match=where):
        list(open_source(where, None, LIMITS).items())


def test_what_is_no_source_is_told(folder: Path) -> None:
    (folder / "what.bin").write_bytes(b"")
    with pytest.raises(SourceError, match=r"a folder, a \.tar"):
        open_source(str(folder / "what.bin"), None, LIMITS)
    with pytest.raises(SourceError, match="--column is for tables"):
        open_source(str(folder), "path", LIMITS)


def too_large(folder: Path, tmp_path: Path, kind: str) -> Item:
    (folder / "large.jpg").write_bytes(bytes(101))
    where: object = folder
    if kind == "remote":
        where = f"file://{folder}"
    elif kind != "folder":
        where = tmp_path / f"large{kind}"
        with tarfile.open(str(where), "w:gz" if kind == ".tgz" else "w") as archive:
            archive.add(folder / "large.jpg", "large.jpg")
    return next(item for item in open_source(str(where), None, LIMITS).items() if item.name == "large.jpg")


@pytest.mark.parametrize("kind", ["folder", "remote", ".tar", ".tgz"])
def test_a_file_over_the_limit_is_refused(folder: Path, tmp_path: Path, kind: str) -> None:
    with pytest.raises(TooLarge, match="has 101 bytes, and the limit is 100"):
        too_large(folder, tmp_path, kind).reference.read(LIMITS)


def test_a_store_that_fails_is_told_without_its_address(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    from fsspec.implementations.local import LocalFileSystem

    def fail(*_: object, **__: object) -> bytes:
        raise RuntimeError("http://secret@store/")

    (item,) = open_source(f"file://{folder}/a.jpg", None, LIMITS).items()
    monkeypatch.setattr(LocalFileSystem, "cat_file", fail)
    with pytest.raises(PhototriageError) as raised:
        item.reference.read(LIMITS)
    assert "secret" not in raised.value.detail


def test_sparse_members_are_told(tmp_path: Path) -> None:
    member = tarfile.TarInfo("a.jpg")
    member.type = tarfile.GNUTYPE_SPARSE
    path = tmp_path / "sparse.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(member, io.BytesIO(b""))
    (item,) = open_source(str(path), None, LIMITS).items()
    with pytest.raises(UnreadableFile, match="--sparse"):
        item.reference.read(LIMITS)


def test_pieces_are_what_they_should_be(folder: Path, tmp_path: Path) -> None:
    assert next(open_source(str(folder), None, LIMITS).items()).reference == LocalFile(str(folder / "a.jpg"))
    path = pack(folder, tmp_path / "photos.tar", "w")
    assert isinstance(next(open_source(str(path), None, LIMITS).items()).reference, FileRange)
    packed = tmp_path / "photos.tar.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert next(open_source(str(packed), None, LIMITS).items()).reference == BytesInMemory(content("a.jpg"), 14)


@pytest.mark.parametrize("damage", ["a header's bit", "cut in a header", "cut between members", "cut in a member"])
def test_no_image_of_a_damaged_tar_is_lost_without_a_word(folder: Path, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "photos.tar"
    with tarfile.open(path, "w") as archive:
        for number in range(9):
            archive.add(folder / "a.jpg", f"{number}.jpg")
    content, third = bytearray(path.read_bytes()), 3 * 1024  # a block for each header and each content
    if damage == "a header's bit":
        content[third + 20] ^= 1
    cut = {"cut in a header": third + 100, "cut between members": third, "cut in a member": third + 600}
    path.write_bytes(content[: cut.get(damage, len(content))])
    source = open_source(str(path), None, LIMITS)
    with pytest.raises(SourceError, match="damaged or cut off"):
        source.count()


def test_links_in_a_tar_are_told(folder: Path, tmp_path: Path) -> None:
    (folder / "same.jpg").hardlink_to(folder / "a.jpg")
    (folder / "link.jpg").symlink_to("a.jpg")
    with tarfile.open(tmp_path / "links.tar", "w") as archive:
        for name in ("a.jpg", "same.jpg", "link.jpg"):
            archive.add(folder / name, name)
    items = {item.name: item.reference for item in open_source(str(tmp_path / "links.tar"), None, LIMITS).items()}
    assert items["a.jpg"].read(LIMITS) == content("a.jpg")
    for name in ("same.jpg", "link.jpg"):
        with pytest.raises(UnreadableFile, match="--hard-dereference"):
            items[name].read(LIMITS)


@pytest.mark.parametrize(("suffix", "compress"), COMPRESSIONS)
def test_archives_of_several_streams_are_read_to_the_end(
    folder: Path, tmp_path: Path, suffix: str, compress: Callable[[bytes], bytes]
) -> None:
    plain = pack(folder, tmp_path / "photos.tar", "w").read_bytes()
    half = len(plain) // 2
    path = tmp_path / f"photos.tar{suffix}"
    path.write_bytes(compress(plain[:half]) + compress(plain[half:]))
    assert read(path) == EXPECTED
    assert read(f"file://{path}") == EXPECTED


def test_a_link_that_leads_round_costs_no_other_its_row(folder: Path) -> None:
    (folder / "a" / "round.jpg").symlink_to(folder / "a" / "round.jpg")
    items = {item.name: item.reference for item in open_source(str(folder), None, LIMITS).items()}
    assert set(items) == {*NAMES, "a/round.jpg"}
    with pytest.raises(OSError, match="symbolic links"):
        items["a/round.jpg"].read(LIMITS)


def test_what_is_no_file_is_told_and_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "pipe.jpg")
    (folder / "zero.jpg").symlink_to("/dev/zero")
    (folder / "list.txt").write_text("a\n")
    items = {item.name: item.reference for item in open_source(str(folder), None, LIMITS).items()}
    (below,) = open_source(str(folder / "list.txt"), None, LIMITS).items()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket.jpg"))
        for reference in (items["pipe.jpg"], items["zero.jpg"], below.reference, LocalFile(f"{folder}/socket.jpg")):
            with pytest.raises(UnreadableFile, match="no file but"):
                reference.read(LIMITS)


def test_a_pipe_in_a_tar_is_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with tarfile.open(tmp_path / "pipe.tar", "w") as archive:
        archive.add(tmp_path / "pipe.jpg", "pipe.jpg")
    (item,) = open_source(str(tmp_path / "pipe.tar"), None, LIMITS).items()
    with pytest.raises(UnreadableFile, match="no file but a pipe"):
        item.reference.read(LIMITS)


@pytest.mark.parametrize("kind", ["folder", "remote", ".tar", ".tgz"])
def test_what_is_passed_over_is_counted_once(folder: Path, tmp_path: Path, kind: str) -> None:
    for name in ("c.cr3", "a/d.CR3", "a/README"):
        (folder / name).write_bytes(b"")
    where: object = {"folder": folder, "remote": f"file://{folder}"}.get(kind, tmp_path / f"photos{kind}")
    if kind.startswith("."):
        with tarfile.open(str(where), "w:gz" if kind == ".tgz" else "w") as archive:
            archive.add(folder, "photos")
    source = open_source(str(where), None, LIMITS)
    source.count()
    for _ in range(2):
        assert len(list(source.items())) == len(NAMES)
    files = {".cr3": 2, ".txt": 1, "without a suffix": 1}
    files["without a suffix"] += kind != "folder"  # elsewhere nothing tells what a link leads to
    assert source.passed_over.suffixes == files
    assert source.passed_over.linked_folders == (kind == "folder")


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())])
def test_all_kinds_of_text_are_paths(folder: Path, kind: pa.DataType) -> None:
    table = folder / "table.parquet"
    parquet.write_table(pa.table({"path": pa.array(["b.webp"]).cast(kind)}), table)
    assert read(table) == {"b.webp": content("b.webp")}


def test_relative_places_are_told_whole(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    pack(folder, tmp_path / "photos.tar", "w")
    for where in (folder.name, "photos.tar", f"{folder.name}/a.jpg"):
        reference = next(open_source(where, None, LIMITS).items()).reference
        assert isinstance(reference, LocalFile | FileRange)
        assert Path(reference.path).is_absolute()


def test_keys_tell_images_of_all_sources_apart(folder: Path, tmp_path: Path) -> None:
    assert open_source(str(folder), None, LIMITS).key("a/b.png") == f"{folder}/a/b.png"
    tar = pack(folder, tmp_path / "photos.tar", "w")
    assert open_source(str(tar), None, LIMITS).key("/abs/x.jpg") == f"{tar}//abs/x.jpg"
    (folder / "list.txt").write_text("./a.jpg")
    listed = open_source(str(folder / "list.txt"), None, LIMITS)
    assert listed.key("./a.jpg") == listed.key("a.jpg") == f"{folder}/a.jpg"
    assert listed.key("s3://bucket/a.jpg") == "s3://bucket/a.jpg"
    assert open_source(f"file://{folder}", None, LIMITS).key("a.jpg") == f"file://{folder}/a.jpg"


def test_a_name_that_is_no_text_is_shown_escaped_from_a_store_too(folder: Path) -> None:
    (folder / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"x")
    assert "caf\\xe9.jpg" in [item.name for item in open_source(f"file://{folder}", None, LIMITS).items()]
