"""Reads what is in a folder with the readers that people use, checks that they agree, and prints the rows as JSON lines.

  rows.py delta FOLDER ORDER...    with deltalake (delta-rs) and DuckDB's reader of the files that the log names
  rows.py parquet FOLDER ORDER...  with pyarrow and DuckDB
  rows.py count delta|parquet FOLDER COLUMN
                                   rows, different values of COLUMN, the smallest and the largest
  rows.py files delta|parquet FOLDER
                                   rows of each file
  rows.py append FOLDER JSON       another writer appends rows, with deltalake
  rows.py compact FOLDER           another writer makes few files of many, with deltalake
  rows.py schema FOLDER            fields of a Delta table, as Arrow has them
  rows.py container URL            makes the container of a storage account; URL has a shared access signature
  rows.py one-lake HOST TOKENS URL [JSON]
                                   appends rows to a table of OneLake, if there are some, and says how many it has then;
                                   HOST stands for OneLake's, and TOKENS for the address that managed identities get theirs from
  rows.py fetch URL FOLDER         gets all blobs of a container into a folder
"""

import datetime
import decimal
import glob
import json
import os
import pathlib
import sys
import urllib.parse
import urllib.request
import xml.etree.ElementTree

import duckdb
import pyarrow
import pyarrow.parquet
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError


def plain(value):
    """A value of any reader in one form."""
    if isinstance(value, dict):
        return {name: plain(v) for name, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            return value.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return value.strftime("%Y-%m-%dT%H:%M:%S.%f")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return str(value)
    return value


def names(kind, folder):
    if kind == "delta":
        return sorted(f"{folder}/{path}" for path in pyarrow.table(table(folder).get_add_actions())["path"].to_pylist())
    return sorted(glob.glob(f"{folder}/*.parquet"))


def table(folder):
    return DeltaTable(folder)


def by_duckdb(files):
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    return connection.execute("SELECT * FROM read_parquet($files, union_by_name = true)", {"files": files})


def read(kind, folder):
    files = names(kind, folder)
    if kind == "delta":
        first = pyarrow.table(table(folder).to_pyarrow_table()).to_pylist()
    else:
        first = pyarrow.concat_tables(
            [pyarrow.parquet.read_table(file) for file in files], promote_options="default"
        ).to_pylist()
    cursor = by_duckdb(files)
    columns = [column[0] for column in cursor.description]
    second = [dict(zip(columns, row)) for row in cursor.fetchall()]
    return [[plain(row) for row in rows] for rows in (first, second)]


def in_time(commit):
    # it is too late each time that somebody else was in time
    for attempt in range(100):
        try:
            return commit()
        except CommitFailedError:
            pass
    raise TimeoutError("others write all the time")


def main(command, *args):
    if command in ("delta", "parquet"):
        folder, *order = args
        first, second = read(command, folder)
        key = lambda row: [row[name] for name in order]
        first.sort(key=key)
        second.sort(key=key)
        assert first == second, f"readers differ:\n{first}\n{second}"
        for row in first:
            print(json.dumps(row))
    elif command == "count":
        kind, folder, column = args
        files = names(kind, folder)
        query = f'SELECT count(*), count(DISTINCT "{column}"), min("{column}"), max("{column}") FROM read_parquet($files)'
        found = duckdb.execute(query, {"files": files}).fetchone() if files else (0, 0, None, None)
        if kind == "delta":
            said = pyarrow.table(table(folder).get_add_actions(flatten=True))["num_records"].to_pylist()
            assert sum(said) == found[0], f"the log says {sum(said)} rows, and there are {found[0]}"
        print(json.dumps(found))
    elif command == "files":
        print(json.dumps([pyarrow.parquet.read_metadata(file).num_rows for file in names(*args)]))
    elif command == "append":
        folder, rows = args
        rows = pyarrow.Table.from_pylist(json.loads(rows))
        in_time(lambda: write_deltalake(folder, rows, mode="append", schema_mode="merge"))
    elif command == "compact":
        in_time(lambda: table(args[0]).optimize.compact())
    elif command == "container":
        urllib.request.urlopen(urllib.request.Request(args[0] + "&restype=container", data=b"", method="PUT"))
    elif command == "one-lake":
        host, tokens, url, *rows = args
        options = {"azure_storage_endpoint": host, "azure_msi_endpoint": tokens, "allow_http": "true"}
        for rows in map(json.loads, rows):
            write_deltalake(url, pyarrow.Table.from_pylist(rows), mode="append", storage_options=options)
        print(DeltaTable(url, storage_options=options).to_pyarrow_table().num_rows)
    elif command == "fetch":
        url, folder = args
        container, signature = url.split("?")
        listing = urllib.request.urlopen(f"{url}&restype=container&comp=list").read()
        for name in xml.etree.ElementTree.fromstring(listing).iter("Name"):
            path = pathlib.Path(folder, name.text)
            path.parent.mkdir(parents=True, exist_ok=True)
            blob = urllib.request.urlopen(f"{container}/{urllib.parse.quote(name.text)}?{signature}")
            path.write_bytes(blob.read())
    elif command == "schema":
        print(pyarrow.schema(table(args[0]).schema().to_arrow()))


main(*sys.argv[1:])
# an orderly end now and then aborts in a thread of one of the libraries
sys.stdout.flush()
os._exit(0)
