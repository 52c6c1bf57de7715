"""Checks that the rows of `messages_of_every_type_are_all_there_with_the_right_values` (tests/lake.rs) are in a folder, each
once and with the right values, for each reader that people use; prints what each has found.

  every_type.py delta|parquet FOLDER ROWS
"""

import glob
import json
import os
import sys

import duckdb
import pyarrow
import pyarrow.compute
import pyarrow.parquet
from deltalake import DeltaTable

# what the messages are made of, once more
EXPECTED = """SELECT
    n AS id,
    CASE WHEN n % 10 != 0 THEN 'row ' || n END AS text,
    CAST(n * 7919 % 2147483648 - 1073741824 AS INTEGER) AS "an integer",
    CAST(n % 65536 - 32768 AS SMALLINT) AS short,
    CAST(n % 256 - 128 AS TINYINT) AS byte,
    CAST(n / 8 AS FLOAT) AS float,
    n / 7 AS double,
    n % 3 = 0 AS boolean,
    from_hex(printf('%02x%02x', n % 256, n // 256 % 256)) AS binary,
    CAST(DATE '2026-01-01' + to_months(CAST(n % 12 AS INTEGER)) + to_days(CAST(n % 28 AS INTEGER)) AS DATE) AS date,
    TIMESTAMPTZ '2026-11-01 00:00:00Z' + to_seconds(n % 2419200) + to_microseconds(n % 1000000) AS at,
    TIMESTAMP '2026-11-01 00:00:00' + to_seconds(n % 2419200) + to_microseconds(n % 1000000) AS wall,
    CAST(printf('%d.%02d', n % 999999999 // 100, n % 999999999 % 100) AS DECIMAL(9,2)) AS price,
    CAST(printf('%d.%010d', n * 100000000, n) AS DECIMAL(38,10)) AS exact,
    {'line': 'line ' || n % 10, 'place': {'hall': CAST(n % 9 AS INTEGER)}} AS machine,
    [CAST(n AS DOUBLE), NULL, n / 2] AS samples
FROM range($rows) AS numbers(n) ORDER BY n"""


def query(text, parameters):
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    return connection.sql(text, params=parameters).to_arrow_table()


def found(kind, folder):
    """By reader, the rows."""
    if kind == "delta":
        table = DeltaTable(folder)
        yield "deltalake", table.to_pyarrow_table()
        files = [f"{folder}/{path}" for path in pyarrow.table(table.get_add_actions())["path"].to_pylist()]
    else:
        files = glob.glob(f"{folder}/*.parquet")
    yield "pyarrow", pyarrow.concat_tables(pyarrow.parquet.read_table(file) for file in files)
    yield "DuckDB", query("SELECT * FROM read_parquet($files)", {"files": files})


def main(kind, folder, rows):
    expected = query(EXPECTED, {"rows": int(rows)})
    for reader, table in found(kind, folder):
        assert table.column_names == expected.column_names, f"{reader}: {table.schema}"
        table = table.take(pyarrow.compute.sort_indices(table["id"]))
        for name in expected.column_names:
            # readers have other names for what is in a list, and other widths of offsets
            column = table[name].cast(expected[name].type)
            same = column.combine_chunks().equals(expected[name].combine_chunks())
            assert same, f"{reader}: `{name}` is {table[name]} and not {expected[name]}"
        distinct = pyarrow.compute.count_distinct(table["id"]).as_py()
        sums = {name: str(pyarrow.compute.sum(table[name]).as_py()) for name in ("id", "double", "price")}
        print(json.dumps({"reader": reader, "rows": len(table), "distinct": distinct, "sums": sums}))


main(*sys.argv[1:])
# an orderly end now and then aborts in a thread of one of the libraries
sys.stdout.flush()
os._exit(0)
