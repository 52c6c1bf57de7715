//! One Parquet file, in memory until it is whole: its pages are compressed as they fill, so it is the size of the file.

use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::basic::ZstdLevel;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use crate::columns::Columns;

/// So many rows, or so many bytes of JSON, are made into columns at a time: they fit into a processor's cache, and
/// another task gets its turn in between.
const SLICE_ROWS_MAX: usize = 2048;
const SLICE_BYTES_MAX: usize = 4 << 20;

/// Half the size of Snappy's files for a few percent more work; higher levels take much more for little.
const ZSTD_LEVEL: i32 = 3;

/// How Parquet files are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Compression {
    Snappy,
    Zstd,
}

impl Compression {
    /// How names of files end, as those of other Delta writers do.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Compression::Snappy => ".snappy.parquet",
            Compression::Zstd => ".zstd.parquet",
        }
    }
}

/// Rows on their way into a file.
pub(crate) struct ParquetFile {
    writer: ArrowWriter<Vec<u8>>,
    rows: usize,
    slice_bytes: usize,
}

impl ParquetFile {
    pub(crate) fn new(columns: &Columns, compression: Compression) -> Result<Self, ParquetError> {
        let codec = match compression {
            Compression::Snappy => parquet::basic::Compression::SNAPPY,
            Compression::Zstd => parquet::basic::Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?),
        };
        let properties = WriterProperties::builder()
            .set_compression(codec)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_created_by(concat!("tidegate version ", env!("CARGO_PKG_VERSION")).into())
            .build();
        let writer = ArrowWriter::try_new(Vec::new(), columns.schema().clone(), Some(properties))?;
        Ok(Self { writer, rows: 0, slice_bytes: 0 })
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Takes the rows out of `columns` if there are enough, a row of `bytes` having come in; whether it did.
    pub(crate) fn added(&mut self, bytes: usize, columns: &mut Columns) -> Result<bool, ParquetError> {
        self.slice_bytes += bytes;
        let full = columns.rows() >= SLICE_ROWS_MAX || self.slice_bytes >= SLICE_BYTES_MAX;
        if full {
            self.write(columns)?;
        }
        Ok(full)
    }

    fn write(&mut self, columns: &mut Columns) -> Result<(), ParquetError> {
        self.slice_bytes = 0;
        self.rows += columns.rows();
        self.writer.write(&columns.take())
    }

    /// The file.
    pub(crate) fn finish(mut self, columns: &mut Columns) -> Result<Written, ParquetError> {
        if columns.rows() > 0 {
            self.write(columns)?;
        }
        let metadata = self.writer.finish()?;
        let bytes = std::mem::take(self.writer.inner_mut()).into();
        Ok(Written { bytes, rows: self.rows, metadata })
    }
}

/// A whole file.
pub(crate) struct Written {
    pub(crate) bytes: Bytes,
    pub(crate) rows: usize,
    pub(crate) metadata: ParquetMetaData,
}
