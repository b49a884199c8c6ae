//! xz and LZMA-alone, by lzma-rust2.
//!
//! The dictionary, by default up to 64 MiB, is in memory beside the output.

use lzma_rust2::{Action, LzmaStream, Status, StreamResult, XzStream};

use super::Stream;
use crate::error::Result;

/// Most memory for dictionary and tables, in KiB: twice what `xz -9` asks for.
const MEMORY: u32 = 128 << 10;

pub(super) fn decode_xz(stream: &Stream<'_>, out: &mut [u8]) -> Result<usize> {
    let mut decoder = XzStream::new_mem_limit(false, MEMORY);
    run(stream, out, |input, out| {
        decoder.process(input, out, Action::Finish).ok()
    })
}

pub(super) fn decode_lzma(stream: &Stream<'_>, out: &mut [u8]) -> Result<usize> {
    let mut decoder = LzmaStream::new_mem_limit(MEMORY, None);
    run(stream, out, |input, out| {
        decoder.process(input, out, Action::Finish).ok()
    })
}

fn run(
    stream: &Stream<'_>,
    out: &mut [u8],
    mut step: impl FnMut(&[u8], &mut [u8]) -> Option<StreamResult>,
) -> Result<usize> {
    let (mut read, mut written) = (0_usize, 0_usize);
    loop {
        let input = stream.bytes.get(read..).unwrap_or_default();
        let rest = out.get_mut(written..).unwrap_or_default();
        let room = rest.len();
        let done = step(input, rest).ok_or_else(|| stream.corrupt(read))?;
        // No overflow: inside slices.
        read = read.saturating_add(done.bytes_consumed);
        written = written.saturating_add(done.bytes_produced);
        if done.status == Status::StreamEnd {
            return Ok(written);
        }
        if done.bytes_consumed == 0 && done.bytes_produced == 0 {
            // It wants more room, or else more input.
            return Err(if room == 0 {
                stream.full(out.len())
            } else {
                stream.corrupt(read)
            });
        }
    }
}
