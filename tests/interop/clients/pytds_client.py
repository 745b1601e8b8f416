"""python-tds (the protocol written anew in Python) against the server: parameters by sp_executesql, attention, max types."""

import datetime
import decimal
import socket

import pytds

from witness import DATABASE, HOST, PASSWORD, PORT, USER, check, run, same


def connect(**changes):
    arguments = dict(
        dsn=HOST,
        port=PORT,
        user=USER,
        password=PASSWORD,
        database=DATABASE,
        login_timeout=10,
        timeout=20,
        autocommit=True,
    )
    arguments.update(changes)
    return pytds.connect(**arguments)


def ask(connection, sql, parameters=()):
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


@check
def logs_in():
    with connect() as connection:
        same(ask(connection, "SELECT DB_NAME()"), [(DATABASE,)])


@check
def wrong_password_is_refused():
    try:
        connect(password=PASSWORD + "x").close()
    except pytds.OperationalError as error:
        assert "Login failed" in str(error), error
    else:
        raise AssertionError("a wrong password was taken")


@check
def parameters_come_back():
    values = [
        5,
        2**40,
        "it's 日本😀",
        "",
        pytds.Binary(b"\x00\xff"),
        2.5,
        decimal.Decimal("-12.3400"),
        datetime.datetime(2024, 5, 6, 7, 8, 9, 123456),
        datetime.date(2024, 2, 29),
        datetime.time(23, 59, 59, 999999),
        True,
        "x" * 10_000,
        pytds.Binary(b"\x07" * 10_000),
    ]
    with connect() as connection:
        for value in values:
            found = ask(connection, "SELECT %s", (value,))
            wanted = bytes(value) if isinstance(value, bytes) else value
            same(found, [(wanted,)])
        same(ask(connection, "SELECT %s WHERE 1 = %s", (None, 1)), [(None,)])


@check
def transactions_commit_and_roll_back():
    with connect(autocommit=False) as connection:
        cursor = connection.cursor()
        cursor.execute("DROP TABLE IF EXISTS dbo.witness_pytds")
        cursor.execute("CREATE TABLE dbo.witness_pytds (id int PRIMARY KEY, t nvarchar(max))")
        connection.commit()
        cursor.execute("INSERT INTO dbo.witness_pytds VALUES (1, %s)", ("日" * 50_000,))
        connection.commit()
        cursor.execute("INSERT INTO dbo.witness_pytds VALUES (2, NULL)")
        connection.rollback()
        cursor.execute("SELECT id, LEN(t) FROM dbo.witness_pytds")
        same(cursor.fetchall(), [(1, 50_000)])
        cursor.execute("DROP TABLE dbo.witness_pytds")
        connection.commit()


@check
def errors_carry_the_servers_numbers():
    with connect() as connection:
        try:
            ask(connection, "SELECT * FROM dbo.no_such_table WHERE id = %s", (1,))
        except pytds.DatabaseError as error:
            same(error.number, 208)
        else:
            raise AssertionError("error 208 did not come")
        same(ask(connection, "SELECT 1"), [(1,)])


@check
def attention_stops_a_waiting_statement():
    with connect(timeout=1) as connection:
        cursor = connection.cursor()
        try:
            cursor.execute("WAITFOR DELAY '00:01:00'")
        except (socket.timeout, pytds.TimeoutError):
            pass
        else:
            raise AssertionError("the statement did not wait")
        same(ask(connection, "SELECT 2"), [(2,)])


@check
def several_result_sets():
    with connect() as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT 1; SELECT N'é', NULL")
        same(cursor.fetchall(), [(1,)])
        same(cursor.nextset(), True)
        same(cursor.fetchall(), [("é", None)])


run("python-tds")
