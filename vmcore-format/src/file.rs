//! The file of a dump as its format sees it: a flattened one as that which it stands for.

use crate::{
    Error, Flattened, ReadAt,
    detect::{Format, detect},
    source::ReadError,
};

/// The bytes of a source, or those that a flattened one stands for.
#[derive(Debug)]
pub(crate) enum File<S> {
    Plain(S),
    Flattened(Flattened<S>),
}

impl<S: ReadAt> File<S> {
    /// Opens a source; a flattened one that was cut opens, see [`File::damage`].
    pub(crate) fn open(source: S) -> Result<Self, Error> {
        match detect(&source) {
            Some(Format::Flattened) => Flattened::open(source).map(Self::Flattened),
            _ => Ok(Self::Plain(source)),
        }
    }

    /// Opens a source, of a flattened one what comes before the first broken record.
    pub(crate) fn open_damaged(source: S) -> Result<Self, Error> {
        match detect(&source) {
            Some(Format::Flattened) => Flattened::open_damaged(source).map(Self::Flattened),
            _ => Ok(Self::Plain(source)),
        }
    }

    /// What a dump's format is told by. Where the records of a flattened file end before, that is what is wrong.
    pub(crate) fn signature(&self) -> Result<[u8; 8], Error> {
        let mut start = [0; 8];
        match self.read_exact_at(0, &mut start) {
            Ok(()) => Ok(start),
            Err(error) => Err(self
                .damage()
                .unwrap_or_else(|| Error::reading("signature of a dump")(error))),
        }
    }

    /// Why a flattened file ends early.
    pub(crate) fn damage(&self) -> Option<Error> {
        match self {
            Self::Plain(_) => None,
            Self::Flattened(flattened) => flattened.damage(),
        }
    }

    pub(crate) fn is_flattened(&self) -> bool {
        matches!(self, Self::Flattened(_))
    }
}

impl<S: ReadAt> ReadAt for File<S> {
    fn size(&self) -> u64 {
        match self {
            Self::Plain(source) => source.size(),
            Self::Flattened(flattened) => flattened.size(),
        }
    }

    fn stored_size(&self) -> u64 {
        match self {
            Self::Plain(source) => source.stored_size(),
            Self::Flattened(flattened) => flattened.stored_size(),
        }
    }

    fn place_of(&self, offset: u64) -> u64 {
        match self {
            Self::Plain(source) => source.place_of(offset),
            Self::Flattened(flattened) => flattened.place_of(offset),
        }
    }

    fn read_exact_at(&self, offset: u64, out: &mut [u8]) -> Result<(), ReadError> {
        match self {
            Self::Plain(source) => source.read_exact_at(offset, out),
            Self::Flattened(flattened) => flattened.read_exact_at(offset, out),
        }
    }

    #[inline]
    fn lend_at(&self, offset: u64, len: usize) -> Option<&[u8]> {
        match self {
            Self::Plain(source) => source.lend_at(offset, len),
            Self::Flattened(flattened) => flattened.lend_at(offset, len),
        }
    }
}
