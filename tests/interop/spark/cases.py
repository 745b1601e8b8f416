#!/usr/bin/env python3
"""Spark between the syncs of icesync: after the next sync source, lake and target are equal, or the run says what it refuses and why.

    cases.py WORK_FOLDER [CASE]...

Started by run.sh. Each case has a table of its own; all of them share one Spark session.
"""
import sys
import time
import traceback

from world import World, check, spark_session

CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def changed_twice(spark, work, name, options=""):
    """A table that was synced, changed and synced, so that it has data files, position deletes and two snapshots."""
    world = World(spark, work, name, options)
    world.sync()
    world.update([3, 5, 8], "changed once")
    world.insert([41, 42])
    world.sync()
    return world


def goes_on(world):
    """Changes touch rows of every age; the next sync must go on quietly, and so must an idle one."""
    world.update([3, 7, 41], "changed again")
    world.insert([50])
    world.quiet_sync()
    world.equal()
    check(world.quiet_sync()["outcome"] == "unchanged", "an idle sync changed something")


@case
def reads_what_the_others_read(spark, work):
    world = changed_twice(spark, work, "reads")
    world.equal()


@case
def goes_on_after_rewrite_data_files(spark, work):
    world = changed_twice(spark, work, "data_files")
    world.call("rewrite_data_files", "options => map('rewrite-all', 'true')")
    goes_on(world)


@case
def goes_on_after_rewrite_position_delete_files(spark, work):
    world = changed_twice(spark, work, "position_deletes")
    world.update([9, 10], "more deletes")
    world.sync()
    world.call("rewrite_position_delete_files", "options => map('rewrite-all', 'true')")
    goes_on(world)


@case
def goes_on_after_rewrite_manifests(spark, work):
    world = changed_twice(spark, work, "manifests")
    world.call("rewrite_manifests")
    goes_on(world)


@case
def goes_on_after_expiry_to_one_snapshot(spark, work):
    world = changed_twice(spark, work, "expired")
    world.call("expire_snapshots", "older_than => TIMESTAMP '2100-01-01 00:00:00', retain_last => 1")
    goes_on(world)


@case
def goes_on_after_compaction_and_expiry(spark, work):
    world = changed_twice(spark, work, "compacted")
    for _ in range(2):
        world.call("rewrite_data_files", "options => map('rewrite-all', 'true')")
        world.call("rewrite_manifests")
    world.call("expire_snapshots", "older_than => TIMESTAMP '2100-01-01 00:00:00', retain_last => 1")
    goes_on(world)


@case
def goes_on_after_compaction_and_expiry_that_the_target_has_not_seen(spark, work):
    world = changed_twice(spark, work, "unseen")
    world.update([1, 2], "not loaded yet")
    world.icesync("extract")
    world.call("rewrite_data_files", "options => map('rewrite-all', 'true')")
    world.call("expire_snapshots", "older_than => TIMESTAMP '2100-01-01 00:00:00', retain_last => 1")
    goes_on(world)


@case
def goes_on_after_maintenance_of_both(spark, work):
    world = changed_twice(spark, work, "both")
    world.update([9, 10], "before maintenance")
    world.sync()
    done = world.icesync("maintain")
    check(done.returncode == 0, f"maintain failed: {done.stdout}{done.stderr}")
    world.equal()
    world.call("rewrite_data_files", "options => map('rewrite-all', 'true')")
    done = world.icesync("maintain")
    check(done.returncode == 0, f"maintain failed: {done.stdout}{done.stderr}")
    goes_on(world)


@case
def goes_on_with_compressed_metadata(spark, work):
    world = changed_twice(spark, work, "compressed")
    world.statement("ALTER TABLE {table} SET TBLPROPERTIES ('write.metadata.compression-codec' = 'gzip')")
    world.update([3, 41], "after the property")
    world.quiet_sync()
    world.call("rewrite_data_files", "options => map('rewrite-all', 'true')")
    world.update([3, 42], "after the compaction")
    world.quiet_sync()
    expected = world.server(world.source)
    # Not every reader finds a compressed metadata file by the hint: Spark and the target speak for the lake.
    check(world.spark_rows() == expected == world.server(world.target), "Spark or the target has other rows")


@case
def a_history_goes_on_after_compaction_and_expiry(spark, work):
    world = changed_twice(spark, work, "history", "kind: history")
    world.call("rewrite_data_files", "options => map('rewrite-all', 'true')")
    world.call("expire_snapshots", "older_than => TIMESTAMP '2100-01-01 00:00:00', retain_last => 1")
    world.update([3, 7], "changed again")
    world.quiet_sync()
    versions = world.statement("SELECT id, count(DISTINCT hex(rv)) versions, count(*) many FROM {table} GROUP BY id")
    found = {row.id: (row.versions, row.many) for row in versions}
    wanted = {at: 3 if at == 3 else 2 if at in (5, 8, 7) else 1 for at in range(1, 43)}
    check(found == {at: (count, count) for at, count in wanted.items()}, f"versions: {found}")
    with world.target.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM dbo.history")
        rows = cursor.fetchone()[0]
    check(rows == sum(wanted.values()), f"the target has {rows} versions instead of {sum(wanted.values())}")


@case
def a_rollback_is_read_again(spark, work):
    world = changed_twice(spark, work, "rolled_back")
    world.call("rollback_to_snapshot", f"snapshot_id => {world.snapshots()[0]}")
    report = world.sync()
    told = " ".join(report["extract"]["warnings"])
    check("rolled back" in told and report["extract"]["full_read"], f"the rollback was not noticed: {report}")
    world.equal()
    goes_on(world)


@case
def a_rollback_before_an_expiry_is_read_again(spark, work):
    world = changed_twice(spark, work, "rolled_back_expired")
    world.call("rollback_to_snapshot", f"snapshot_id => {world.snapshots()[0]}")
    world.call("rewrite_data_files", "options => map('rewrite-all', 'true')")
    world.call("expire_snapshots", "older_than => TIMESTAMP '2100-01-01 00:00:00', retain_last => 1")
    report = world.sync()
    check(report["extract"]["full_read"], f"the rollback was not noticed: {report}")
    world.equal()
    goes_on(world)


@case
def a_rollback_of_a_history_goes_on_from_what_is_left(spark, work):
    world = changed_twice(spark, work, "history_back", "kind: history")
    world.call("rollback_to_snapshot", f"snapshot_id => {world.snapshots()[0]}")
    done = world.icesync("extract")
    check(done.returncode == 0 and "Reading again from" in done.stdout, f"{done.stdout}{done.stderr}")
    rows = world.statement("SELECT count(*) n, count(DISTINCT id, hex(rv)) versions FROM {table}")[0]
    check((rows.n, rows.versions) == (45, 45), f"{rows}")


ALIEN = "INSERT INTO {table} SELECT 900, name, price, made, day, tag, raw, flag, ratio, rv FROM {table} WHERE id = 1"


@case
def an_append_is_named_and_can_be_undone(spark, work):
    world = changed_twice(spark, work, "appended")
    mine = world.snapshots()[-1]
    world.statement(ALIEN)
    theirs = world.snapshots()[-1]
    world.update([1], "changed after the append")
    world.configure("on_foreign_commit: refuse")
    world.refused(f"snapshot {theirs}", "append, 1 rows added", f"roll main back to snapshot {mine}")
    world.call("rollback_to_snapshot", f"snapshot_id => {mine}")
    world.quiet_sync()
    world.equal()

    world.configure()
    world.statement(ALIEN)
    theirs = world.snapshots()[-1]
    world.update([2], "changed after the append")
    report = world.sync()
    check(f"snapshot {theirs}" in " ".join(report["extract"]["warnings"]), f"the append is not named: {report}")
    lake = world.spark_rows()
    check(sum(row["id"] == 900 for row in lake) == 1, "the row of the other writer is gone")
    world.equal(lake)
    # The remedy: a full read makes all sides equal again.
    world.configure("change: { strategy: full }")
    world.sync()
    world.equal()


@case
def a_delete_is_named_and_a_full_read_repairs_it(spark, work):
    world = changed_twice(spark, work, "deleted")
    world.statement("DELETE FROM {table} WHERE id IN (2, 3, 41)")
    world.update([1], "changed after the delete")
    report = world.sync()
    check("another writer changed rows" in " ".join(report["extract"]["warnings"]), f"the delete is not named: {report}")
    world.equal([row for row in world.server(world.source) if row["id"] not in (2, 3, 41)])
    world.configure("change: { strategy: full }")
    world.sync()
    world.equal()


@case
def deletes_of_many_data_files_in_one_file_are_applied(spark, work):
    world = changed_twice(spark, work, "many")
    world.statement("ALTER TABLE {table} SET TBLPROPERTIES ('write.delete.granularity' = 'partition')")
    world.statement("DELETE FROM {table} WHERE id IN (2, 3, 41)")
    world.update([1, 2, 3, 42], "changed after the delete")
    world.sync()
    # Polars' own reader takes delete files of one data file only.
    world.equal([row for row in world.server(world.source) if row["id"] != 41], readers=["duckdb", "pyiceberg"])


@case
def a_partitioned_table_is_refused_or_written(spark, work):
    world = changed_twice(spark, work, "partitioned")
    world.statement("ALTER TABLE {table} ADD PARTITION FIELD bucket(4, id)")
    world.update([3, 7], "after the partition field")
    world.refused("partitioned", "DROP PARTITION FIELD")
    world.statement("ALTER TABLE {table} DROP PARTITION FIELD bucket(4, id)")
    goes_on(world)


@case
def rows_in_partitions_are_gone_on_from(spark, work):
    world = changed_twice(spark, work, "was_partitioned")
    world.statement("ALTER TABLE {table} ADD PARTITION FIELD bucket(4, id)")
    world.call("rewrite_data_files", "options => map('rewrite-all', 'true')")
    world.statement("ALTER TABLE {table} DROP PARTITION FIELD bucket(4, id)")
    goes_on(world)


@case
def deletes_in_old_partitions_are_applied_and_kept(spark, work):
    world = changed_twice(spark, work, "old_partitions")
    fields = ("bucket(2, id)", "flag")
    for field in fields:
        world.statement(f"ALTER TABLE {{table}} ADD PARTITION FIELD {field}")
    world.call("rewrite_data_files", "options => map('rewrite-all', 'true')")
    for field in fields:
        world.statement(f"ALTER TABLE {{table}} DROP PARTITION FIELD {field}")
    world.configure("change: { strategy: full }")
    world.sql("DELETE FROM dbo.old_partitions WHERE id IN (5, 6, 7)")
    world.insert([60])
    world.sync()
    world.equal()
    files = world.statement("SELECT content, file_path, spec_id, partition, referenced_data_file FROM {table}.files")
    place = {row.file_path: (row.spec_id, row.partition) for row in files}
    # Spark has left deletes of files that it rewrote.
    deletes = [row for row in files if row.content == 1 and row.referenced_data_file in place]
    check(any(row.spec_id > 0 for row in deletes), f"no deletes in partitions: {files}")
    check(all(place[row.file_path] == place[row.referenced_data_file] for row in deletes), f"deletes elsewhere: {files}")
    # Maintenance that looks for deletes of no data file, partition by partition.
    world.call("rewrite_data_files", "where => 'id = 12', options => map('rewrite-all', 'true', "
               "'remove-dangling-deletes', 'true')")
    world.equal()
    world.call("rewrite_position_delete_files", "options => map('rewrite-all', 'true')")
    world.equal()
    world.configure()
    world.sync()
    goes_on(world)


@case
def files_that_spark_added_are_gone_on_from(spark, work):
    world = World(spark, work, "added_files")
    world.sync()
    folder = world.work / "added_files_parquet"
    spark.sql("SELECT cast(100 AS int) id, 'added' name, cast(null AS decimal(12, 3)) price, cast(null AS timestamp_ntz) made, "
              "cast(null AS date) day, cast(null AS boolean) flag, cast(1.5 AS double) ratio, X'0000000000000001' rv"
              ).write.parquet(str(folder))
    world.call("add_files", f"source_table => '`parquet`.`{folder}`'")
    world.update([4], "after the files")
    world.sync()
    for chore in ("--orphans", "--compact", "--expire"):
        world.maintain(chore)
        check(any(row["id"] == 100 for row in world.spark_rows()), f"the added row is gone after {chore}")
    world.call("add_files", f"source_table => '`parquet`.`{folder}`', check_duplicate_files => false")
    world.configure("change: { strategy: full }")
    world.sync()
    world.equal()


@case
def a_column_that_added_files_leave_to_their_partition_is_loaded(spark, work):
    world = World(spark, work, "from_folders")
    world.sync()
    folder = world.work / "from_folders_parquet"
    spark.sql("SELECT cast(100 AS int) id, cast(null AS decimal(12, 3)) price, cast(null AS timestamp_ntz) made, "
              "cast(null AS date) day, cast(null AS boolean) flag, cast(1.5 AS double) ratio, X'0000000000000001' rv, 'folder' name"
              ).write.partitionBy("name").parquet(str(folder))
    world.statement("ALTER TABLE {table} ADD PARTITION FIELD name")
    world.call("add_files", f"source_table => '`parquet`.`{folder}`'")
    world.statement("ALTER TABLE {table} DROP PARTITION FIELD name")
    world.done("load")
    named = lambda rows: [row["name"] for row in rows if row["id"] == 100]
    check(named(world.server(world.target)) == ["folder"], "the target lacks the value of the partition")
    world.maintain("--compact")
    check(named(world.spark_rows()) == ["folder"], "the value of the partition is gone after the compaction")


@case
def a_warehouse_given_as_a_plain_path_is_gone_on_from(spark, work):
    world = changed_twice(spark, work, "plain_path")
    world.call("rewrite_data_files", "options => map('rewrite-all', 'true')", catalog="plain")
    goes_on(world)
    spark.sql("DELETE FROM plain.dbo.plain_path WHERE id = 9")
    world.sync()
    world.maintain()
    world.configure("change: { strategy: full }")
    world.sync()
    world.equal()


@case
def tags_of_loads_outlive_the_age_of_other_references(spark, work):
    world = changed_twice(spark, work, "reference_age")
    loaded = world.snapshots()[-1]
    world.statement("ALTER TABLE {table} SET TBLPROPERTIES ('history.expire.max-ref-age-ms' = '1')")
    for at in range(2):
        world.update([2], f"extracted {at}")
        world.done("extract")
    world.call("expire_snapshots", "older_than => TIMESTAMP '2100-01-01 00:00:00', retain_last => 1")
    check(loaded in world.snapshots(), "the loaded snapshot was expired")
    world.done("load")
    world.equal()


@case
def a_sort_order_is_gone_on_from(spark, work):
    world = changed_twice(spark, work, "sorted")
    world.statement("ALTER TABLE {table} WRITE ORDERED BY name")
    world.call("rewrite_data_files", "strategy => 'sort', sort_order => 'name', options => map('rewrite-all', 'true')")
    goes_on(world)


@case
def version_3_is_refused(spark, work):
    world = changed_twice(spark, work, "version_3")
    world.statement("ALTER TABLE {table} SET TBLPROPERTIES ('format-version' = '3')")
    world.update([3], "after the upgrade")
    world.refused("format version 3")


@case
def a_replaced_table_is_read_again(spark, work):
    world = changed_twice(spark, work, "emptied")
    world.statement("TRUNCATE TABLE {table}")
    report = world.sync()
    check("another writer changed rows" in " ".join(report["extract"]["warnings"]), f"not named: {report}")
    world.configure("change: { strategy: full }")
    world.sync()
    world.equal()


@case
def an_expiry_keeps_what_a_target_has_loaded(spark, work):
    world = changed_twice(spark, work, "kept")
    loaded = world.snapshots()[-1]
    for at in range(3):
        world.update([at + 1, at + 30], f"extracted {at}")
        world.done("extract")
    world.call("rewrite_data_files", "options => map('rewrite-all', 'true')")
    world.call("expire_snapshots", "older_than => TIMESTAMP '2100-01-01 00:00:00', retain_last => 1")
    check(loaded in world.snapshots(), "the loaded snapshot was expired")
    report = world.done("load")["load"]
    check((report["updated"], report["inserted"], report["deleted"]) == (6, 0, 0), f"{report}")
    check(not report["warnings"], f"{report}")
    world.equal()
    goes_on(world)


@case
def a_load_alone_follows_a_rollback(spark, work):
    world = World(spark, work, "load_back")
    world.sync()
    before = world.server(world.target)
    world.update([3, 5, 8], "rolled back")
    world.insert([41, 42])
    world.sql("DELETE FROM dbo.load_back WHERE id = 7")
    world.sync()
    world.call("rollback_to_snapshot", f"snapshot_id => {world.snapshots()[0]}")
    report = world.done("load")["load"]
    check((report["updated"], report["deleted"]) == (3, 2), f"{report}")
    check(world.server(world.target) == before, "the target is not what it was")


def main():
    work, names = sys.argv[1], sys.argv[2:] or list(CASES)
    if unknown := [name for name in names if name not in CASES]:
        sys.exit(f"no such case: {', '.join(unknown)}; there are {', '.join(CASES)}")
    spark = spark_session(f"{work}/warehouse")
    failed = 0
    for name in names:
        began = time.monotonic()
        try:
            CASES[name](spark, work)
        except Exception:  # whatever went wrong is this case's failure, and the others still run
            failed += 1
            print(f"spark: FAILED {name}", flush=True)
            traceback.print_exc(file=sys.stdout)
        else:
            print(f"spark: ok {name} ({time.monotonic() - began:.1f} s)", flush=True)
    spark.stop()
    print(f"spark: {len(names) - failed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
