//! What waits to be written to the connection.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

use crate::{EncodeError, PublishParts, Version, encode_publish, encode_publish_head};

/// A payload from this size on, in bytes, is queued as it is and not copied behind its header.
const SHARED_PAYLOAD_BYTES_MIN: usize = 8192;

/// Encoded packets in the order they are to go out. A [`Buf`] of several chunks: small packets stand together in one,
/// a large payload is one of its own and is shared, not copied. Write it with vectored writes. Whatever a peer sends is
/// answered in here, so read no more from a peer that does not take its answers.
#[derive(Debug, Default)]
pub struct Output {
    /// In front of `tail`; none of them empty.
    chunks: VecDeque<Bytes>,
    chunks_bytes: usize,
    tail: BytesMut,
}

impl Output {
    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.chunks_bytes + self.tail.len()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where packets are appended.
    pub(crate) fn tail(&mut self) -> &mut BytesMut {
        &mut self.tail
    }

    pub(crate) fn put_publish(
        &mut self,
        parts: &PublishParts<'_>,
        version: Version,
    ) -> Result<(), EncodeError> {
        if parts.payload.len() < SHARED_PAYLOAD_BYTES_MIN {
            return encode_publish(parts, version, &mut self.tail);
        }
        encode_publish_head(parts, version, &mut self.tail)?;
        self.chunks_bytes += self.tail.len() + parts.payload.len();
        self.chunks.push_back(self.tail.split().freeze());
        self.chunks.push_back(parts.payload.clone());
        Ok(())
    }
}

impl Buf for Output {
    fn remaining(&self) -> usize {
        self.len()
    }

    fn chunk(&self) -> &[u8] {
        self.chunks.front().map_or(&self.tail, |front| front)
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(front) = self.chunks.front_mut() {
            let step = count.min(front.len());
            front.advance(step);
            self.chunks_bytes -= step;
            count -= step;
            if !front.is_empty() {
                return;
            }
            self.chunks.pop_front();
        }
        self.tail.advance(count);
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let chunks = self.chunks.iter().map(|c| &c[..]).chain([&self.tail[..]]).filter(|c| !c.is_empty());
        slices.iter_mut().zip(chunks).map(|(slice, chunk)| *slice = IoSlice::new(chunk)).count()
    }
}

#[cfg(test)]
mod tests {
    use tidegate_core::Properties;

    use super::*;
    use crate::QoS;

    fn publish(output: &mut Output, payload: &Bytes) {
        let parts = PublishParts {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: false,
            topic: "t",
            packet_id: None,
            message_expiry: None,
            topic_alias: None,
            subscription_ids: &[],
            properties: &Properties::default(),
            payload,
        };
        output.put_publish(&parts, Version::V311).unwrap();
    }

    #[test]
    fn a_large_payload_is_shared_and_keeps_its_place() {
        let (small, large) = (Bytes::from_static(b"small"), Bytes::from(vec![7; SHARED_PAYLOAD_BYTES_MIN]));
        let mut output = Output::default();
        let mut flat = BytesMut::new();
        for payload in [&small, &large, &large, &small, &small] {
            publish(&mut output, payload);
            let mut one = Output::default();
            publish(&mut one, payload);
            flat.extend_from_slice(&one.copy_to_bytes(one.remaining()));
        }
        let mut slices = [IoSlice::new(&[]); 8];
        assert_eq!(output.chunks_vectored(&mut slices), 5);
        assert_eq!(slices[1].as_ptr(), large.as_ptr());
        for step in [1, 3, 5000, 4000, 1] {
            output.advance(step);
            flat.advance(step);
            assert_eq!(output.chunk()[0], flat[0]);
        }
        assert_eq!(output.remaining(), flat.len());
        assert_eq!(output.copy_to_bytes(output.remaining()), flat);
        assert!(output.is_empty() && output.chunk().is_empty());
    }
}
