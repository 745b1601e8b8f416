"""pymssql (FreeTDS, the DB-Library interface) against the server: one of the outside witnesses of its protocol."""

import datetime
import decimal
import uuid

import pymssql

from witness import DATABASE, ENCRYPT, HOST, PASSWORD, PORT, USER, check, run, same

D = decimal.Decimal


def connect(**changes):
    arguments = dict(
        server=HOST,
        port=PORT,
        user=USER,
        password=PASSWORD,
        database=DATABASE,
        charset="UTF-8",
        encryption="require" if ENCRYPT else "off",
        login_timeout=10,
    )
    arguments.update(changes)
    return pymssql.connect(**arguments)


def ask(connection, sql, parameters=None):
    cursor = connection.cursor()
    cursor.execute(sql, parameters)
    return cursor.fetchall()


def number(error):
    """The server's number of an error: login errors nest it."""
    first = error.args[0]
    return first[0] if isinstance(first, tuple) else first


def refuses(wanted, sql, parameters=None):
    with connect() as connection:
        try:
            ask(connection, sql, parameters)
        except pymssql.Error as error:
            same(number(error), wanted)
        else:
            raise AssertionError(f"error {wanted} did not come from {sql}")


def fresh(connection, table, columns):
    cursor = connection.cursor()
    cursor.execute(f"DROP TABLE IF EXISTS {table}")
    cursor.execute(f"CREATE TABLE {table} ({columns})")
    connection.commit()
    return cursor


@check
def logs_in_to_the_database_named():
    with connect() as connection:
        same(ask(connection, "SELECT DB_NAME(), 1"), [(DATABASE, 1)])


@check
def wrong_password_is_18456():
    try:
        connect(password=PASSWORD + "x").close()
    except pymssql.OperationalError as error:
        same(number(error), 18456)
    else:
        raise AssertionError("a wrong password was taken")


@check
def unknown_database_is_refused():
    try:
        connect(database="no_such_database").close()
    except pymssql.OperationalError as error:
        # pymssql keeps the number of an earlier login's error here, but tells the severity of this one's.
        assert "severity 11" in str(error), error
    else:
        raise AssertionError("an unknown database was taken")


TYPES = [
    ("bit", "1", True),
    ("tinyint", "255", 255),
    ("smallint", "-32768", -32768),
    ("int", "-2147483648", -(2**31)),
    ("bigint", "9223372036854775807", 2**63 - 1),
    ("decimal(9, 2)", "-1234567.89", D("-1234567.89")),
    ("decimal(38, 10)", "1234567890123456789012345678.0123456789", D("1234567890123456789012345678.0123456789")),
    ("numeric(18, 0)", "-999999999999999999", D("-999999999999999999")),
    ("money", "-922337203685477.5808", D("-922337203685477.5808")),
    ("smallmoney", "214748.3647", D("214748.3647")),
    ("real", "1.5", 1.5),
    ("float", "-2.25e300", -2.25e300),
    ("date", "'9999-12-31'", datetime.date(9999, 12, 31)),
    ("time(6)", "'23:59:59.999999'", datetime.time(23, 59, 59, 999999)),
    ("datetime", "'1753-01-01T00:00:00'", datetime.datetime(1753, 1, 1)),
    ("smalldatetime", "'2079-06-06T23:59:00'", datetime.datetime(2079, 6, 6, 23, 59)),
    ("datetime2(6)", "'2024-02-29T12:34:56.789012'", datetime.datetime(2024, 2, 29, 12, 34, 56, 789012)),
    ("char(4)", "'ab'", "ab  "),
    ("varchar(20)", "'caf' + CHAR(233)", "café"),
    ("varchar(max)", "REPLICATE(CAST('v' AS varchar(max)), 20000)", "v" * 20000),
    ("nchar(3)", "N'日本'", "日本 "),
    ("nvarchar(20)", "N'日本😀'", "日本😀"),
    ("nvarchar(max)", "REPLICATE(CAST(N'日' AS nvarchar(max)), 20000)", "日" * 20000),
    ("binary(4)", "0x0102", b"\x01\x02\x00\x00"),
    ("varbinary(10)", "0x", b""),
    ("varbinary(max)", "CAST(0xFF00FF AS varbinary(max))", b"\xff\x00\xff"),
    ("uniqueidentifier", "'01234567-89AB-CDEF-0123-456789ABCDEF'", uuid.UUID("01234567-89ab-cdef-0123-456789abcdef")),
]


@check
def every_common_type_and_its_null():
    with connect() as connection:
        columns = ", ".join(f"c{at} {ty} NULL" for at, (ty, _, _) in enumerate(TYPES))
        cursor = fresh(connection, "dbo.witness_types", f"id int NOT NULL PRIMARY KEY, {columns}")
        values = ", ".join(literal for _, literal, _ in TYPES)
        cursor.execute(f"INSERT INTO dbo.witness_types VALUES (1, {values})")
        cursor.execute("INSERT INTO dbo.witness_types (id) VALUES (2)")
        full, empty = ask(connection, "SELECT * FROM dbo.witness_types ORDER BY id")
        for (ty, _, wanted), found in zip(TYPES, full[1:]):
            try:
                same(found, wanted)
            except AssertionError as problem:
                raise AssertionError(f"{ty}: {problem}") from None
        same(empty[1:], (None,) * len(TYPES))


@check
def parameters_and_nulls():
    with connect() as connection:
        cursor = fresh(
            connection,
            "dbo.witness_params",
            "id int PRIMARY KEY, s nvarchar(50), d decimal(18, 4), t datetime2(3), b varbinary(10), g uniqueidentifier",
        )
        when = datetime.datetime(2024, 5, 6, 7, 8, 9, 123000)
        rows = [
            (1, "it's 日本", D("12.3400"), when, b"\x00'\xff", uuid.UUID(int=5)),
            (2, None, None, None, None, None),
            (3, "", D("-0.0001"), when, b"\x01", uuid.UUID(int=6)),
        ]
        insert = "INSERT INTO dbo.witness_params VALUES (%d, %s, %s, %s, %s, %s)"
        cursor.executemany(insert, [row[:4] + (row[4] and bytearray(row[4]), row[5] and str(row[5])) for row in rows])
        connection.commit()
        same(ask(connection, "SELECT * FROM dbo.witness_params ORDER BY id"), rows)
        same(ask(connection, "SELECT id FROM dbo.witness_params WHERE s = %s", ("it's 日本",)), [(1,)])


@check
def procedures_are_called_with_parameters():
    with connect() as connection:
        cursor = connection.cursor()
        # Not sp_executesql: DB-Library sends text as varchar, which that refuses (error 214).
        cursor.callproc("sp_getapplock", ("witness", "Exclusive", "Session", 0))
        same(ask(connection, "SELECT APPLOCK_MODE('public', 'witness', 'Session')"), [("Exclusive",)])


@check
def commit_keeps_and_rollback_forgets():
    with connect() as writer, connect(autocommit=True) as reader:
        cursor = fresh(writer, "dbo.witness_tran", "id int PRIMARY KEY")
        cursor.execute("INSERT INTO dbo.witness_tran VALUES (1)")
        writer.commit()
        cursor.execute("INSERT INTO dbo.witness_tran VALUES (2)")
        same(ask(writer, "SELECT COUNT(*) FROM dbo.witness_tran"), [(2,)])
        writer.rollback()
        same(ask(reader, "SELECT id FROM dbo.witness_tran"), [(1,)])


@check
def errors_carry_the_servers_numbers():
    with connect() as connection:
        fresh(connection, "dbo.witness_errors", "id int NOT NULL PRIMARY KEY, n int NOT NULL")
    refuses(208, "SELECT * FROM dbo.no_such_table")
    refuses(207, "SELECT no_such_column FROM dbo.witness_errors")
    refuses(2627, "INSERT INTO dbo.witness_errors VALUES (1, 1), (1, 2)")
    refuses(515, "INSERT INTO dbo.witness_errors (id) VALUES (1)")
    refuses(8134, "SELECT 1 / 0")
    refuses(245, "SELECT CAST('x' AS int)")
    refuses(2812, "EXEC dbo.no_such_procedure")
    refuses(156, "SELECT FROM WHERE")
    refuses(102, "SELECT 1 +")


@check
def a_failed_statement_leaves_the_connection_usable():
    with connect() as connection:
        for _ in range(3):
            try:
                ask(connection, "SELECT * FROM dbo.no_such_table")
            except pymssql.ProgrammingError as error:
                same(number(error), 208)
            connection.rollback()
            same(ask(connection, "SELECT 7"), [(7,)])


@check
def several_result_sets():
    with connect() as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT 1 AS a; SELECT 2 AS b, N'x' AS c UNION ALL SELECT 3, NULL ORDER BY b; SELECT 4 AS d WHERE 1 = 0")
        same(cursor.fetchall(), [(1,)])
        same(bool(cursor.nextset()), True)
        same(cursor.fetchall(), [(2, "x"), (3, None)])
        same(bool(cursor.nextset()), True)
        same(cursor.fetchall(), [])
        same(bool(cursor.nextset()), False)


@check
def counts_and_identity():
    with connect() as connection:
        cursor = fresh(connection, "dbo.witness_counts", "id int IDENTITY(10, 5) PRIMARY KEY, n int")
        cursor.execute("INSERT INTO dbo.witness_counts (n) VALUES (1), (2), (3)")
        same(cursor.rowcount, 3)
        same(ask(connection, "SELECT @@IDENTITY"), [(D(20),)])
        cursor.execute("UPDATE dbo.witness_counts SET n = n + 1 WHERE n >= %d", (2,))
        same(cursor.rowcount, 2)
        cursor.execute("DELETE FROM dbo.witness_counts")
        same(cursor.rowcount, 3)


ROWS = 100_000


@check
def bulk_copy_and_a_large_result():
    with connect() as connection:
        columns = "id int NOT NULL PRIMARY KEY, name varchar(30) NULL, amount decimal(18, 2) NULL, big bigint NULL, f float NULL"
        fresh(connection, "dbo.witness_bulk", columns)
        rows = [
            (n, None if n % 7 == 0 else f"name {n}", None if n % 11 == 0 else D(n) / 100, n * 10**6, n / 8)
            for n in range(ROWS)
        ]
        connection.bulk_copy("dbo.witness_bulk", rows, batch_size=25_000)
        connection.commit()
        same(ask(connection, "SELECT COUNT(*), COUNT(name), SUM(big) FROM dbo.witness_bulk"), [
            (ROWS, ROWS - len(range(0, ROWS, 7)), sum(range(ROWS)) * 10**6),
        ])
        found = ask(connection, "SELECT id, name, amount, big, f FROM dbo.witness_bulk ORDER BY id")
        same(len(found), ROWS)
        for row, wanted in zip(found, rows):
            if row != wanted:
                raise AssertionError(f"found {row!r}, wanted {wanted!r}")


@check
def a_result_left_half_read_is_cancelled():
    with connect() as connection:
        for _ in range(3):
            cursor = connection.cursor()
            cursor.execute("SELECT * FROM dbo.witness_bulk")
            same(len(cursor.fetchone()), 5)
            cursor = connection.cursor()
            cursor.execute("SELECT 5")
            same(cursor.fetchall(), [(5,)])


@check
def cleans_up():
    with connect() as connection:
        cursor = connection.cursor()
        for table in ["types", "params", "tran", "errors", "counts", "bulk"]:
            cursor.execute(f"DROP TABLE dbo.witness_{table}")
        connection.commit()


run("pymssql")
