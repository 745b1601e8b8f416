"""Connections of the demo. Where the server is comes from the environment, the password only from there."""
import os

import pymssql


def connect(database):
    """A connection in autocommit mode: each statement is its own transaction."""
    return pymssql.connect(
        server=os.environ["ICESYNC_DEMO_HOST"],
        port=os.environ["ICESYNC_DEMO_PORT"],
        user="sa",
        password=os.environ["ICESYNC_DEMO_PASSWORD"],
        database=database,
        charset="UTF-8",
        tds_version="7.4",
        login_timeout=15,
        autocommit=True,
        use_datetime2=True,
        appname="icesync-demo",
    )


def execute(connection, sql):
    """Runs one statement and returns the number of rows that it touched."""
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.rowcount


def scalar(connection, sql):
    """The first column of the only row."""
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]
