"""Checks that the comparison of read_lake can tell rows apart: a comparison that never fails proves nothing."""
import datetime
import decimal
import json
import os
import tempfile
import unittest

import pyarrow as pa

import read_lake

FIELDS = [{"name": name, "type": kind} for name, kind in (
    ("id", "int"), ("amount", "decimal(38, 10)"), ("ratio", "double"), ("small", "float"), ("day", "date"), ("at", "timestamp"),
    ("zone", "timestamptz"), ("clock", "time"), ("text", "string"), ("guid", "uuid"), ("raw", "binary"), ("flag", "boolean"))]

ROW = {
    "id": 1, "amount": "1234567890123456789012345678.0123456789", "ratio": 0.1, "small": 0.1, "day": "0001-01-01",
    "at": "9999-12-31T23:59:59.999999", "zone": "2026-01-02T03:04:05.000006+00:00", "clock": "23:59:59.999999",
    "text": "x ", "guid": "00112233-4455-6677-8899-aabbccddeeff", "raw": "00ff", "flag": True,
}


def table(*rows):
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", delete=False, encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    try:
        return read_lake.expected(file.name, FIELDS)
    finally:
        os.unlink(file.name)


def compare(left, right, key=("id",)):
    return read_lake.differences(table(*left), table(*right), "left", "right", list(key))


class Differences(unittest.TestCase):
    def test_equal_rows_in_any_order(self):
        other = ROW | {"id": 2}
        for key in (("id",), ()):
            self.assertEqual(compare([ROW, other], [other, ROW], key), [])

    def test_every_column_matters(self):
        changed = {
            "amount": "1234567890123456789012345678.0123456788", "ratio": 0.1 + 2 ** -55, "small": 0.1 + 2 ** -25, "day": "0001-01-02",
            "at": "9999-12-31T23:59:59.999998", "zone": "2026-01-02T03:04:05.000005+00:00", "clock": "23:59:59.999998",
            "text": "x", "guid": "00112233-4455-6677-8899-aabbccddeefe", "raw": "00fe", "flag": False,
        }
        self.assertEqual(set(changed), set(ROW) - {"id"})
        for name, value in changed.items():
            for other in (value, None):
                for key in (("id",), ()):
                    with self.subTest(column=name, other=other, key=key):
                        lines = compare([ROW], [ROW | {name: other}], key)
                        self.assertTrue(any(name in line for line in lines), lines)

    def test_floats_are_compared_by_bits(self):
        self.assertEqual(compare([ROW | {"ratio": "NaN"}], [ROW | {"ratio": "NaN"}]), [])
        self.assertNotEqual(compare([ROW | {"ratio": 0.0}], [ROW | {"ratio": -0.0}]), [])
        self.assertNotEqual(compare([ROW | {"ratio": "Infinity"}], [ROW | {"ratio": "-Infinity"}]), [])

    def test_empty_is_not_null(self):
        for name in ("text", "raw"):
            self.assertNotEqual(compare([ROW | {name: ""}], [ROW | {name: None}]), [])

    def test_missing_extra_and_duplicate_rows(self):
        two = ROW | {"id": 2}
        for left, right in (([ROW, two], [ROW]), ([ROW], [ROW, two]), ([ROW], [two]), ([ROW, ROW], [ROW]), ([ROW, ROW, two], [ROW, two, two])):
            for key in (("id",), ()):
                with self.subTest(left=[row["id"] for row in left], right=[row["id"] for row in right], key=key):
                    self.assertNotEqual(compare(left, right, key), [])


class Values(unittest.TestCase):
    def test_what_is_printed_reads_back_as_the_same(self):
        rows = table(ROW, {"id": 2}, ROW | {"id": 3, "ratio": "NaN", "small": "-Infinity"})
        printed = read_lake.json_rows(rows, FIELDS)
        self.assertEqual({**printed[0], "small": 0.1}, ROW)
        self.assertEqual(read_lake.differences(rows, table(*printed), "rows", "printed", ["id"]), [])

    def test_a_decimal_that_does_not_fit_is_refused(self):
        with self.assertRaises(pa.ArrowInvalid):
            table(ROW | {"amount": "0.12345678901"})

    def test_a_column_that_is_not_there_is_refused(self):
        with self.assertRaises(SystemExit):
            table({"id": 1, "other": 2})

    def test_a_reader_may_not_lose_precision(self):
        nanoseconds = pa.table({"at": pa.array([1_000_000_001], pa.timestamp("ns"))})
        with self.assertRaises(pa.ArrowInvalid):
            read_lake.canonical(nanoseconds, [{"name": "at", "type": "timestamp"}])

    def test_spelling(self):
        self.assertEqual(read_lake.json_value(decimal.Decimal("1E+3")), "1000")
        self.assertEqual(read_lake.json_value(datetime.datetime(1, 1, 1)), "0001-01-01T00:00:00.000000")


if __name__ == "__main__":
    unittest.main()
