//! The newest records in memory: those that are not on disk yet, and some that are, for readers who keep up.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Records are gathered in buffers of this size; a slice of one keeps it in memory.
const BUFFER_BYTES: usize = 256 << 10;

/// Chunks of encoded records without a gap, up to the end of the log.
pub(crate) struct Recent {
    chunks: VecDeque<Chunk>,
    /// What is appended goes here until a chunk is cut off.
    open: BytesMut,
    /// Where in the log the open buffer begins.
    open_at: u64,
    /// Length of all chunks.
    bytes: u64,
}

struct Chunk {
    at: u64,
    bytes: Bytes,
}

impl Recent {
    /// Begins with `records` at `at`.
    pub(crate) fn new(at: u64, records: Bytes) -> Self {
        let bytes = records.len() as u64;
        let chunks = if records.is_empty() { VecDeque::new() } else { [Chunk { at, bytes: records }].into() };
        Self { chunks, open: BytesMut::new(), open_at: at + bytes, bytes }
    }

    /// A buffer with room for `len` bytes more.
    pub(crate) fn buffer(&mut self, len: usize) -> &mut BytesMut {
        if self.open.capacity() - self.open.len() < len {
            self.cut();
            self.open = BytesMut::with_capacity(len.max(BUFFER_BYTES));
        }
        &mut self.open
    }

    /// Makes a chunk of what was appended, so that chunks end where a sync ends.
    pub(crate) fn cut(&mut self) {
        if !self.open.is_empty() {
            let bytes = self.open.split().freeze();
            let at = self.open_at;
            self.open_at += bytes.len() as u64;
            self.bytes += bytes.len() as u64;
            self.chunks.push_back(Chunk { at, bytes });
        }
    }

    /// The chunks from `at` on, which is where one begins.
    pub(crate) fn chunks_from(&self, at: u64) -> Vec<Bytes> {
        let first = self.chunks.partition_point(|chunk| chunk.at < at);
        self.chunks.range(first..).map(|chunk| chunk.bytes.clone()).collect()
    }

    /// From `at` to the end of its chunk, if memory has it.
    pub(crate) fn read(&self, at: u64) -> Option<Bytes> {
        let chunk = self.chunks.partition_point(|chunk| chunk.at <= at).checked_sub(1)?;
        let Chunk { at: begin, bytes } = &self.chunks[chunk];
        let skip = usize::try_from(at - begin).ok()?;
        (skip < bytes.len()).then(|| bytes.slice(skip..))
    }

    /// Forgets the oldest chunks that end at `durable` or before, down to `bytes_max`.
    pub(crate) fn trim(&mut self, durable: u64, bytes_max: u64) {
        while self.bytes > bytes_max {
            match self.chunks.front() {
                Some(chunk) if chunk.at + chunk.bytes.len() as u64 <= durable => {
                    self.bytes -= chunk.bytes.len() as u64;
                    self.chunks.pop_front();
                }
                _ => break,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;

    use super::*;

    #[test]
    fn what_was_appended_is_read_until_it_is_trimmed() {
        let mut recent = Recent::new(100, Bytes::from_static(b"ab"));
        recent.buffer(3).put_slice(b"cde");
        assert_eq!(recent.read(102), None, "not cut yet");
        recent.cut();
        recent.cut();
        assert_eq!(recent.chunks_from(102), [Bytes::from_static(b"cde")]);
        assert_eq!(recent.read(101).as_deref(), Some(&b"b"[..]));
        assert_eq!(recent.read(103).as_deref(), Some(&b"de"[..]));
        assert_eq!(recent.read(99), None);
        assert_eq!(recent.read(105), None);

        recent.trim(101, 0);
        assert!(recent.read(100).is_some(), "it is not on disk as a whole");
        recent.trim(102, 0);
        assert_eq!(recent.read(100), None);
        assert!(recent.read(102).is_some());
    }

    #[test]
    fn a_record_longer_than_a_buffer_is_one_chunk() {
        let mut recent = Recent::new(0, Bytes::new());
        recent.buffer(1).put_slice(b"a");
        let long = vec![b'b'; BUFFER_BYTES + 1];
        recent.buffer(long.len()).put_slice(&long);
        recent.cut();
        assert_eq!(recent.chunks_from(0).len(), 2);
        assert_eq!(recent.read(1).unwrap(), long);
    }
}
