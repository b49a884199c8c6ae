//! Compressed pages.

use physmem::Absence;
use vmcore_format::codec::{Builtin, Codec, Method, Native, Pure};

/// "abcdefgh" four times: the smallest page that every method compresses.
const PAGE: &[u8; 32] = b"abcdefghabcdefghabcdefghabcdefgh";

/// [`PAGE`] by method.
const COMPRESSED: [(Method, &[u8]); 5] = [
    (Method::STORED, PAGE),
    (
        Method::ZLIB,
        b"x\x01KLJNIMK\xcfH\xc4A\x03\x00\xce\xc0\x0c\x91",
    ),
    (
        Method::LZO,
        b"\x05abcdefgh*\x1c\x00\x09efghabcdefgh\x11\x00\x00",
    ),
    (Method::SNAPPY, b" \x1cabcdefgh^\x08\x00"),
    (
        Method::ZSTD,
        b"(\xb5/\xfd  u\x00\x00@abcdefgh\x01\x00\x03\x0b\x17",
    ),
];

/// Two bytes of page length, one of method, and what is to be a compressed page: it decodes to its
/// whole length or not at all, alike in every decoder that a checksum or a strict format binds, and
/// leaves no trace in the decoder.
pub fn decode(data: &[u8]) {
    let [low, high, method, src @ ..] = data else {
        return;
    };
    let len = usize::from(u16::from_le_bytes([*low, *high]));
    let Some((method, sound)) = COMPRESSED.get(usize::from(*method)) else {
        let method = Method((*method).into());
        let decoded = Builtin::default().decode(method, src, &mut []);
        assert!(method == Method::ZSTD || decoded == Err(Absence::CodecMissing));
        return;
    };

    let page_of = |codec: &mut dyn Codec| {
        let mut out = vec![0xaa; len];
        let decoded = codec.decode(*method, src, &mut out);
        let allowed = [Ok(len), Err(Absence::Damaged), Err(Absence::CodecMissing)];
        assert!(allowed.contains(&decoded));
        let again = codec.decode(*method, sound, &mut [0; 32]);
        assert_eq!(again.is_ok(), decoded != Err(Absence::CodecMissing));
        decoded.map(|_| out)
    };
    let pure = page_of(&mut Pure::default());
    let native = page_of(&mut Native::default());
    let built_in = page_of(&mut Builtin::default());

    assert_ne!(pure, Err(Absence::CodecMissing));
    match native {
        Err(Absence::CodecMissing) => assert!(built_in == pure),
        native => {
            assert!(built_in == native);
            // libdeflate is the more lenient one; the checksum binds both.
            if *method == Method::ZLIB && pure.is_ok() {
                assert!(native == pure);
            }
        }
    }
    let mut out = vec![0; len];
    let peer = match *method {
        Method::LZO => lzokay::decompress::decompress(src, &mut out).ok(),
        Method::SNAPPY => snap::raw::Decoder::new().decompress(src, &mut out).ok(),
        _ => return,
    };
    let peer = peer.filter(|decoded| *decoded == len).map(|_| out);
    assert!(pure.ok() == peer);
}
