"""The same batch function on a real (local) Spark; skipped, saying so, where pyspark or Java is absent."""
import shutil
import sys

import pyarrow as pa
import pytest
from healthlab.core.engine import map_batches, spark_map


@pytest.fixture(scope="module")
def spark():
    sql = pytest.importorskip("pyspark.sql", reason="pyspark is not installed: it is the user's own, not among healthlab's requirements")
    if not shutil.which("java"): pytest.skip("no Java on this machine: Spark cannot start")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        session = sql.SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").config("spark.sql.shuffle.partitions", "2").getOrCreate()
        yield session
        session.stop()


def test_a_batch_function_gives_the_same_on_spark_and_here(spark):
    def plus_one(batch): return pa.record_batch({"x": pa.array([v + 1 for v in batch["x"].to_pylist()], pa.int64())})
    frame = spark.range(0, 100, 1, 4).withColumnRenamed("id", "x")
    here = map_batches(plus_one, [pa.record_batch({"x": pa.array(range(100), pa.int64())})], workers=1)
    assert sorted(r.x for r in spark_map(plus_one, frame, "x bigint").collect()) == next(iter(here))["x"].to_pylist()
