"""Ingests JSON lines with Microsoft's own azure-kusto-ingest and reads them back with azure-kusto-data.

  ingest.py queued URL DATABASE TABLE OPTIONS < LINES     OPTIONS: keyword arguments of IngestionProperties, JSON
  ingest.py streaming URL DATABASE TABLE OPTIONS < LINES
  ingest.py managed URL DATABASE TABLE OPTIONS < LINES
  ingest.py query URL DATABASE QUERY                      prints the rows as JSON lines
"""

import io
import json
import sys

from azure.kusto.data import DataFormat, KustoClient, KustoConnectionStringBuilder
from azure.kusto.ingest import (
    ColumnMapping,
    IngestionMappingKind,
    IngestionProperties,
    ManagedStreamingIngestClient,
    QueuedIngestClient,
    ReportLevel,
    StreamDescriptor,
    KustoStreamingIngestClient,
)

kind, url, database, what, *rest = sys.argv[1:]
cluster = KustoConnectionStringBuilder.with_aad_application_token_authentication(url, "token")
if kind == "query":
    for row in KustoClient(cluster).execute(database, what).primary_results[0]:
        print(json.dumps(row.to_list(), default=str))
    sys.exit()
options = json.loads(rest[0])
if "column_mappings" in options:
    options["column_mappings"] = [ColumnMapping(n, t, path=p) for n, t, p in options["column_mappings"]]
    options["ingestion_mapping_kind"] = IngestionMappingKind.JSON
if "report_level" in options:
    options["report_level"] = ReportLevel(options["report_level"])
properties = IngestionProperties(database=database, table=what, data_format=DataFormat.JSON, **options)
lines = sys.stdin.buffer.read()
client = {
    "queued": lambda: QueuedIngestClient(cluster),
    "streaming": lambda: KustoStreamingIngestClient(cluster),
    "managed": lambda: ManagedStreamingIngestClient(cluster, cluster),
}[kind]()
client.ingest_from_stream(StreamDescriptor(io.BytesIO(lines), size=len(lines)), ingestion_properties=properties)
