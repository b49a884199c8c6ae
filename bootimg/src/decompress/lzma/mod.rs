//! LZMA, and LZMA-alone: `.lzma`.
//!
//! ```text
//!  0  properties      u8   (pb * 5 + lp) * 9 + lc
//!  1  dictionary      u32  how far back a match may refer
//!  5  size            u64  when decompressed; all ones if a marker ends the stream
//! 13  range-coded …
//! ```
//!
//! Source: 7-Zip LZMA SDK `DOC/lzma-specification.txt`; xz `doc/lzma-file-format.txt`.

mod range;
mod state;

use alloc::boxed::Box;

pub(super) use self::{
    range::Range,
    state::{End, Properties, State, Window},
};
use super::{Stream, members::Member, reader::Reader};
use crate::error::Result;

/// A size that is not known.
const UNKNOWN: u64 = u64::MAX;
/// The least that a dictionary has, whatever the header says.
const MIN_DICTIONARY: usize = 4096;

pub(super) fn decode(stream: &Stream<'_>, out: &mut [u8]) -> Result<Member> {
    let mut reader = Reader::new(stream);
    let [properties] = reader.array()?;
    let properties = Properties::new(properties).ok_or_else(|| stream.corrupt(0))?;
    let dictionary = u32::from_le_bytes(reader.array()?);
    let size = u64::from_le_bytes(reader.array()?);
    let start = reader.at();
    let coded = reader.rest();
    reader.bytes(Range::START)?;
    let mut range = Range::new(coded).ok_or_else(|| stream.corrupt(start))?;

    let room = out.len();
    // What is said to be more than there is room for has to be more before it is believed.
    let limit = usize::try_from(size).unwrap_or(usize::MAX).min(room);
    let mut window = Window {
        out: out.get_mut(..limit).unwrap_or_default(),
        start: 0,
        at: 0,
        size: usize::try_from(dictionary)
            .unwrap_or(usize::MAX)
            .max(MIN_DICTIONARY),
    };
    let mut state = Box::new(State::new(properties));
    let known = size != UNKNOWN;
    let mut end = state.decode(&mut range, &mut window, limit);
    let more = matches!(end, Some(End::Full | End::Overfull)) && !range.overrun();
    if known && size > room as u64 && more {
        return Err(stream.full(room));
    }
    if end == Some(End::Full) && !(known && range.settled()) {
        // Only the marker has room now, which may be there also where the size is known.
        let behind = state.decode(&mut range, &mut window, usize::MAX);
        end = behind.or(Some(End::Overfull));
    }
    let whole = match end {
        Some(End::Full) => true,
        Some(End::Marker) => (!known || window.at == limit) && range.settled(),
        Some(End::Overfull) if !known && !range.overrun() => return Err(stream.full(room)),
        Some(End::Overfull) | None => false,
    };
    if whole {
        Ok(Member {
            // No overflow: places in a slice.
            read: start.saturating_add(range.taken()),
            written: window.at,
        })
    } else {
        // No overflow: places in a slice.
        let at = start.saturating_add(range.taken());
        Err(if range.overrun() {
            stream.incomplete(at)
        } else {
            stream.corrupt(at)
        })
    }
}
