#!/usr/bin/env python3
"""Makes the fixtures that Spark writes. Run by make.sh, into the folder that all fixtures name as their place.

    spark.py ROOT [FIXTURE...]

Each fixture is a warehouse ROOT/<fixture> with one table dbo.items (id, name, price) and the key id. Beside the table are the rows that
Spark reads in it, and what icesync must say where it refuses to read or to write.
"""
import json
import os
import pathlib
import sys

from pyspark.sql import SparkSession

ROOT = pathlib.Path(sys.argv[1])
V2 = {"format-version": "2", "write.delete.mode": "merge-on-read", "write.update.mode": "merge-on-read"}


def session():
    settings = {
        "spark.jars": os.environ["ICESYNC_SPARK_JAR"], "spark.driver.host": "127.0.0.1", "spark.ui.enabled": "false",
        "spark.log.level": "ERROR", "spark.sql.shuffle.partitions": "1", "spark.sql.session.timeZone": "UTC",
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
    }
    builder = SparkSession.builder.master("local[1]").appName("icesync-fixtures")
    for name, value in settings.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


SPARK = session()


class Table:
    """The table dbo.items of one fixture."""

    def __init__(self, fixture, properties=V2, partitioned=""):
        self.catalog = fixture.replace("-", "_")
        self.name = f"{self.catalog}.dbo.items"
        self.folder = ROOT / fixture
        for key, value in {"": "org.apache.iceberg.spark.SparkCatalog", ".type": "hadoop", ".cache-enabled": "false",
                           ".warehouse": f"file://{self.folder}"}.items():
            SPARK.conf.set(f"spark.sql.catalog.{self.catalog}{key}", value)
        listed = ", ".join(f"'{key}' = '{value}'" for key, value in properties.items())
        self.sql(f"CREATE TABLE {{t}} (id int NOT NULL, name string, price decimal(9, 2)) USING iceberg {partitioned} "
                 f"TBLPROPERTIES ({listed})")
        self.sql("ALTER TABLE {t} SET IDENTIFIER FIELDS id")

    def sql(self, text):
        return SPARK.sql(text.replace("{t}", self.name)).collect()

    def insert(self, ids):
        rows = ", ".join(f"({at}, 'n{at}', {at}.50)" for at in ids)
        self.sql(f"INSERT INTO {{t}} SELECT * FROM VALUES {rows} AS v(id, name, price)")

    def call(self, procedure, arguments):
        self.sql(f"CALL {self.catalog}.system.{procedure}(table => 'dbo.items'{arguments})")

    def java(self):
        return SPARK._jvm.org.apache.iceberg.spark.Spark3Util.loadIcebergTable(SPARK._jsparkSession, self.name)

    def rows(self):
        """Writes down the rows that the fixture must give, as Spark reads them."""
        rows = [[row.id, row.name, str(row.price)] for row in self.sql("SELECT id, name, price FROM {t} ORDER BY id, name")]
        lines = ",\n".join("  " + json.dumps(row) for row in rows)
        (self.folder / "rows.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")

    def refused(self, *words):
        """Writes down what icesync must say when it refuses to read the table."""
        (self.folder / "refused.txt").write_text("\n".join(words) + "\n", encoding="utf-8")

    def write_refused(self, *words):
        """Writes down what icesync must say when it refuses to write to the table."""
        (self.folder / "write-refused.txt").write_text("\n".join(words) + "\n", encoding="utf-8")


def position_deletes():
    table = Table("spark-position-deletes", {**V2, "write.delete.granularity": "partition"})
    for ids in ([1, 2, 3], [4, 5, 6], [7, 8]):
        table.insert(ids)
    table.sql("DELETE FROM {t} WHERE id IN (2, 5)")
    table.sql("UPDATE {t} SET name = 'changed' WHERE id IN (3, 7)")
    table.rows()


def gzip():
    table = Table("spark-gzip", {**V2, "write.metadata.compression-codec": "gzip"})
    table.insert([1, 2, 3])
    table.insert([4])
    table.rows()


def maintained():
    table = Table("spark-maintained")
    for ids in ([1, 2, 3], [4, 5, 6]):
        table.insert(ids)
    table.sql("DELETE FROM {t} WHERE id = 5")
    table.call("rewrite_data_files", ", options => map('rewrite-all', 'true')")
    table.call("rewrite_manifests", "")
    table.call("expire_snapshots", ", older_than => TIMESTAMP '2100-01-01 00:00:00', retain_last => 1")
    table.rows()


def partitioned():
    table = Table("spark-partitioned", partitioned="PARTITIONED BY (bucket(2, id))")
    table.insert([1, 2, 3, 4])
    table.sql("DELETE FROM {t} WHERE id = 2")
    table.rows()
    table.write_refused("partitioned")


def evolved_spec():
    table = Table("spark-evolved-spec")
    table.insert([1, 2])
    table.sql("ALTER TABLE {t} ADD PARTITION FIELD truncate(1, name)")
    table.insert([3, 4])
    table.sql("ALTER TABLE {t} ADD PARTITION FIELD bucket(2, id)")
    table.insert([5, 6])
    table.sql("ALTER TABLE {t} DROP PARTITION FIELD bucket(2, id)")
    table.sql("ALTER TABLE {t} DROP PARTITION FIELD truncate(1, name)")
    table.insert([7])
    table.sql("DELETE FROM {t} WHERE id IN (2, 4)")
    table.rows()


def evolved_columns():
    table = Table("spark-evolved-columns")
    table.insert([1, 2])
    table.sql("ALTER TABLE {t} RENAME COLUMN name TO label")
    table.sql("ALTER TABLE {t} ALTER COLUMN price TYPE decimal(18, 2)")
    table.sql("ALTER TABLE {t} ADD COLUMN name string AFTER label")
    table.sql("ALTER TABLE {t} DROP COLUMN label")
    table.sql("INSERT INTO {t} VALUES (3, 'new', 1234567890123.25)")
    table.rows()


def without_ids(fixture, mapped):
    """Files that Spark itself wrote, without field ids, taken into a table as they are."""
    table = Table(fixture)
    plain = ROOT / fixture / "dbo" / "items" / "data" / "plain"
    values = "VALUES (1, 'n1', CAST(1.5 AS decimal(9, 2))), (2, 'n2', CAST(2.5 AS decimal(9, 2))) AS v(id, name, price)"
    SPARK.sql(f"SELECT * FROM {values}").coalesce(1).write.parquet(str(plain))
    for other in plain.glob("[._]*"):
        other.unlink()
    SPARK.sql(f"CALL {table.catalog}.system.add_files(table => 'dbo.items', source_table => '`parquet`.`{plain}`')")
    table.insert([3])
    if not mapped:
        table.sql("ALTER TABLE {t} UNSET TBLPROPERTIES ('schema.name-mapping.default')")
        table.refused("no field ids", "schema.name-mapping.default", ".parquet")
    table.rows()


def version_1():
    table = Table("spark-version-1", {"format-version": "1"})
    table.insert([1, 2])
    table.rows()
    table.write_refused("format version 1")


def deletion_vectors():
    table = Table("spark-deletion-vectors", {**V2, "format-version": "3"})
    table.insert([1, 2, 3])
    table.sql("DELETE FROM {t} WHERE id = 2")
    table.rows()
    table.refused("deletion vectors", "compact dbo.items")


def other_format(kind):
    table = Table(f"spark-{kind}", {**V2, "write.format.default": kind})
    table.insert([1, 2])
    table.rows()
    table.refused("no Parquet file", f".{kind}")


def equality_deletes():
    """Spark writes none, Flink does: made with Iceberg's own writers."""
    table = Table("spark-equality-deletes")
    table.insert([1, 2, 3])
    iceberg, java = SPARK._jvm.org.apache.iceberg, table.java()
    ids = SPARK.sparkContext._gateway.new_array(SPARK._jvm.int, 1)
    ids[0] = 1
    keys = java.schema().select(["id"])
    factory = iceberg.data.GenericAppenderFactory(java.schema(), java.spec(), ids, keys, None)
    path = f"{java.location()}/data/equality-deletes.parquet"
    out = iceberg.encryption.EncryptedFiles.encryptedOutput(java.io().newOutputFile(path), iceberg.encryption.EncryptionKeyMetadata.EMPTY)
    writer = factory.newEqDeleteWriter(out, iceberg.FileFormat.PARQUET, None)
    row = iceberg.data.GenericRecord.create(keys)
    row.setField("id", 2)
    writer.write(row)
    writer.close()
    java.newRowDelta().addDeletes(writer.toDeleteFile()).commit()
    table.rows()
    table.refused("equality deletes", "compact dbo.items")


FIXTURES = {
    "spark-position-deletes": position_deletes,
    "spark-gzip": gzip,
    "spark-maintained": maintained,
    "spark-partitioned": partitioned,
    "spark-evolved-spec": evolved_spec,
    "spark-evolved-columns": evolved_columns,
    "spark-name-mapped": lambda: without_ids("spark-name-mapped", True),
    "spark-without-ids": lambda: without_ids("spark-without-ids", False),
    "spark-version-1": version_1,
    "spark-deletion-vectors": deletion_vectors,
    "spark-orc": lambda: other_format("orc"),
    "spark-avro": lambda: other_format("avro"),
    "spark-equality-deletes": equality_deletes,
}


def main():
    for fixture in sys.argv[2:] or FIXTURES:
        FIXTURES[fixture]()
    SPARK.stop()


main()
