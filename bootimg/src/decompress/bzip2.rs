//! bzip2, by libbz2-rs-sys: one stream.

use bzip2::{Decompress, Status};

use super::{Stream, members::Member};
use crate::error::Result;

pub(super) fn decode(stream: &Stream<'_>, out: &mut [u8]) -> Result<Member> {
    let mut decoder = Decompress::new(false);
    loop {
        let (read, written) = (decoder.total_in(), decoder.total_out());
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        let input = stream.bytes.get(place(read)..).unwrap_or_default();
        let rest = out.get_mut(place(written)..).unwrap_or_default();
        let status = decoder.decompress(input, rest);
        match status {
            Ok(Status::StreamEnd) => {
                return Ok(Member {
                    read: place(decoder.total_in()),
                    written: place(decoder.total_out()),
                });
            }
            Ok(_) if decoder.total_in() != read || decoder.total_out() != written => {}
            // It wants more room, or else more input.
            Ok(_) if place(written) == out.len() => {
                return Err(stream.full(out.len()));
            }
            Ok(_) => return Err(stream.incomplete(place(read))),
            // Up to where it has read.
            Err(_) => return Err(stream.corrupt(place(decoder.total_in()))),
        }
    }
}
