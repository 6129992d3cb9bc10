"""The same batch on a real Ray cluster of two nodes, and with sound in a real S3 server."""

import json
import os
import signal
import socket
import time

import psutil
import pytest
import soundfile

from resonance.app.batch.plan import plan
from resonance.app.batch.run import Batch
from resonance.app.batch.settings import BatchSettings
from tests.app.batch.conftest import batch, contents, lines, write_noise

pytest.importorskip("ray")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one processor each; the address of their head."""
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    nodes.add_node(num_cpus=1)
    nodes.wait_for_nodes()
    yield nodes
    import ray

    ray.shutdown()
    nodes.shutdown()


def workers_at_work():
    """Processes of Ray that clean a file just now."""
    return [
        p
        for p in psutil.process_iter(["cmdline"])
        if "ray::clean_file" in " ".join(p.info["cmdline"] or [])
    ]


@pytest.mark.timeout(480)
def test_a_cluster_loses_a_worker_and_a_node_and_nothing_else(cluster, tmp_path):
    for number in range(12):
        write_noise(tmp_path / "in" / f"{number % 3}" / f"{number:02}.wav", 20)
    write_noise(tmp_path / "in" / "bad.wav").write_bytes(b"RIFF")
    settings = BatchSettings("live", pictures=False)
    calm = Batch(
        plan([str(tmp_path / "in")], str(tmp_path / "calm")),
        settings,
        tmp_path / "calm.sqlite",
        processes=1,
    )
    calm.run(lambda _: None, lambda *_: None, None)

    lost = []

    def lose(outcome):
        working = workers_at_work()
        if len(lost) == 0 and working:
            os.kill(working[0].pid, signal.SIGKILL)
            lost.append("worker")
        elif lost == ["worker"]:
            cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)
            lost.append("node")

    run = Batch(
        plan([str(tmp_path / "in")], str(tmp_path / "out")),
        settings,
        tmp_path / "out.sqlite",
        ray=cluster.address,
    )
    totals = run.run(lose, lambda *_: None, None)
    assert lost == ["worker", "node"]
    assert (totals.done, totals.failed) == (12, 1)
    assert contents(tmp_path / "out") == contents(tmp_path / "calm")
    again = Batch(run.jobs, settings, run.manifest, ray=cluster.address, resume=True)
    totals = again.run(lambda _: None, lambda *_: None, None)
    assert (totals.skipped, totals.done, totals.failed) == (12, 0, 1)


@pytest.fixture
def bucket(monkeypatch):
    """An S3 server on this machine, with an empty bucket: its fsspec file system."""
    moto = pytest.importorskip("moto.server")
    s3fs = pytest.importorskip("s3fs")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=port)
    server.start()
    settings = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    system = s3fs.S3FileSystem()
    system.mkdir("talks")
    yield system
    server.stop()


def test_sound_in_an_object_storage(bucket, tmp_path):
    for name in ("a.wav", "sub/b.flac"):
        bucket.put_file(str(write_noise(tmp_path / "in" / name)), f"talks/in/{name}")
    bucket.pipe("talks/in/bad.wav", b"not audio")
    arguments = ["s3://talks/in", "-o", "s3://talks/out", "--manifest", tmp_path / "m.sqlite"]
    done = batch(*arguments, "--json", "--preset", "live")
    assert done.returncode == 1
    assert "bad.wav" in done.stderr, done.stderr
    assert sorted(bucket.find("talks/out")) == [
        "talks/out/a.wav",
        "talks/out/resonance-batch.html",
        "talks/out/resonance-batch.json",
        "talks/out/sub/b.flac",
    ]
    bucket.get_file("talks/out/sub/b.flac", str(tmp_path / "b.flac"))
    assert soundfile.info(tmp_path / "b.flac").frames == 8000
    again = lines(batch(*arguments, "--json", "--preset", "live", "--resume"))
    assert again[-1]["summary"]["skipped"] == 2
    report = json.loads(bucket.cat("talks/out/resonance-batch.json"))
    assert report["totals"]["failed"] == 1
    assert len(report["files"]) == 3


def test_ray_that_cannot_be_reached_is_told(folder, tmp_path):
    begin = time.monotonic()
    done = batch(folder, "-o", tmp_path / "out", "--ray", "127.0.0.1:1")
    assert done.returncode == 1
    assert "no Ray cluster" in done.stderr.splitlines()[-1]
    assert time.monotonic() - begin < 120
