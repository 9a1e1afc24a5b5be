//! Decompresses Zstandard files with several frames and skippable frames.

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read};

/// A decompressing reader.
pub struct ZstdFrames<R: Read> {
    source: BufReader<R>,
    frame: FrameDecoder,
    is_in_frame: bool,
}

impl<R: Read> ZstdFrames<R> {
    /// Decompresses `source`. The decoder refuses windows of more than 128 MiB.
    pub fn new(source: R) -> Self {
        Self { source: BufReader::new(source), frame: FrameDecoder::new(), is_in_frame: false }
    }

    /// Starts the next frame, and skips skippable ones. Returns false at the end.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.frame.init(&mut self.source) {
                Ok(()) => {
                    self.is_in_frame = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    let mut skipped = (&mut self.source).take(u64::from(length));
                    if io::copy(&mut skipped, &mut io::sink())? < u64::from(length) {
                        return Err(ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(_) => return Err(ErrorKind::InvalidData.into()),
            }
        }
        Ok(false)
    }
}

impl<R: Read> Read for ZstdFrames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.is_in_frame && !self.next_frame()? {
                return Ok(0);
            }
            while self.frame.can_collect() == 0 && !self.frame.is_finished() {
                let decoded = self.frame.decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1));
                decoded.map_err(|_| io::Error::from(ErrorKind::InvalidData))?;
            }
            match self.frame.read(buffer)? {
                0 if buffer.is_empty() => return Ok(0),
                0 => {
                    let stored = self.frame.get_checksum_from_data();
                    if stored.is_some() && stored != self.frame.get_calculated_checksum() {
                        return Err(ErrorKind::InvalidData.into());
                    }
                    self.is_in_frame = false;
                }
                count => return Ok(count),
            }
        }
    }
}
