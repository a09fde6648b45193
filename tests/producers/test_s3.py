"""Files in an S3 bucket, as moto keeps one on this machine, are read like those of a folder."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from producers import tiny
from workbench.errors import LogError
from workbench.readers import import_log, import_to, read, source_digests

pytestmark = [tiny.needs("s3fs"), tiny.needs("moto"), pytest.mark.filterwarnings("ignore")]

SAMPLES = Path(__file__).parents[1] / "samples"
LINES = (SAMPLES / "openai_chat.jsonl").read_bytes().splitlines(keepends=True)
KEYS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where a server answers as S3 does, with a bucket `runs`."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1",
        aws_access_key_id="testing", aws_secret_access_key="testing",
    )  # fmt: skip
    client.create_bucket(Bucket="runs")
    for name, content in {
        "demo/a.jsonl": b"".join(LINES[:2]),
        "demo/deep/b.jsonl.gz": gzip.compress(b"".join(LINES[2:])),
        "demo/_tmp/c.jsonl": b"nonsense",
    }.items():
        client.put_object(Bucket="runs", Key=name, Body=content)
    yield endpoint
    server.stop()


@pytest.fixture
def keys(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (KEYS | {"AWS_ENDPOINT_URL": address}).items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("keys")
def test_a_folder_a_pattern_and_a_file_of_a_bucket_are_read():
    log = import_log(["s3://runs/demo"]).validated.log
    assert set(log["source_file"]) == {"s3://runs/demo/a.jsonl", "s3://runs/demo/deep/b.jsonl.gz"}
    here = import_log([SAMPLES / "openai_chat.jsonl"]).validated.log
    places = ["source_file", "source_line"]
    assert_frame_equal(log.drop(places), here.drop(places))
    rows = [read([f"s3://runs/demo/{name}"]).frame.height for name in ("*.jsonl", "a.jsonl")]
    assert rows == [5, 5]


@pytest.mark.usefixtures("keys")
def test_parquet_in_a_bucket_is_read_in_places(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import boto3
    import s3fs

    rows = [
        {
            "group_id": f"g{at // 8}", "trajectory_id": f"t{at // 2}", "step_index": at % 2,
            "observation": os.urandom(500).hex(), "action": "a", "reward": 0.0,
            "source_file": "rollouts.jsonl", "source_line": at + 1,
        }
        for at in range(800)
    ]  # fmt: skip
    pl.DataFrame(rows).write_parquet(tmp_path / "log.parquet", row_group_size=100)
    client = boto3.client("s3", endpoint_url=address, region_name="us-east-1")
    content = (tmp_path / "log.parquet").read_bytes()
    for name in ("a", "b"):
        client.put_object(Bucket="runs", Key=f"tables/{name}.parquet", Body=content)
    copied = []
    monkeypatch.setattr(s3fs.S3FileSystem, "get_file", lambda *given: copied.append(given))
    import_to(tmp_path / "there", ["s3://runs/tables/a.parquet"])
    import_to(tmp_path / "here", [tmp_path / "log.parquet"])
    assert (tmp_path / "there").read_bytes() == (tmp_path / "here").read_bytes()
    assert read(["s3://runs/tables"]).frame.height == 1600
    assert read(["s3://runs/tables/*.parquet"]).frame.height == 1600
    assert copied == []
    before = source_digests(["s3://runs/tables"])
    assert before == source_digests(["s3://runs/tables/*.parquet"])
    client.put_object(Bucket="runs", Key="tables/b.parquet", Body=content[:-8] + content[-8:] * 2)
    after = source_digests(["s3://runs/tables"])
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False]


@pytest.mark.usefixtures("keys")
def test_what_is_not_in_a_bucket_is_said():
    for path, rule in (
        ("demo/none.jsonl", "does not exist"),
        ("demo/*.parquet", "no file matches the pattern"),
    ):
        with pytest.raises(LogError, match=f"files: {rule}, at s3://runs/"):
            read([f"s3://runs/{path}"])
    with pytest.raises(LogError, match="files: does not exist, at s3://nobody/x"):
        read(["s3://nobody/x"])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (dict.fromkeys(KEYS), "NoCredentialsError: Unable to locate credentials"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "Could not connect to the endpoint URL"),
    ],
)
def test_a_store_that_refuses_is_one_message_and_no_traceback(
    address: str, tmp_path: Path, changes: dict[str, str | None], says: str
):
    # In a process of its own, since keys are looked for once and connections are kept.
    known = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    nothing = dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), os.devnull)
    nothing["AWS_EC2_METADATA_DISABLED"] = "true"
    given = {"AWS_ENDPOINT_URL": address, "AWS_MAX_ATTEMPTS": "1"} | KEYS | changes
    code = "from workbench.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "import", "s3://runs/demo", "-o", str(tmp_path / "log")],
        env=known | nothing | {name: value for name, value in given.items() if value is not None},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("error: 1 problem in s3://runs/demo:")
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
