//! Targets of `bootimg`.

use bootimg::{
    BzImage, Compression,
    bzimage::{Checksum, Header, MAX_END, START},
};

/// An x86 kernel: what is lent lies where the header says, and the memory it needs follows the rules.
///
/// # Panics
///
/// When a law is broken.
pub fn bzimage(data: &[u8]) {
    let Ok(header) = Header::parse(data) else {
        assert!(BzImage::parse(data).is_err());
        return;
    };
    let bytes = header.bytes();
    assert_eq!(bytes, &data[START..START + bytes.len()]);
    assert!(START + bytes.len() <= MAX_END);
    if let Ok(runtime) = header.runtime() {
        assert!(runtime.init_size > 0);
        for load in [0, runtime.pref_address, 1 << 32, u64::MAX >> 1] {
            let Some(memory) = runtime.at(load) else {
                continue;
            };
            assert_eq!(memory.end - memory.start, runtime.init_size.into());
            match runtime.alignment {
                Some(alignment) => {
                    assert!(memory.start >= load.max(runtime.pref_address));
                    assert_eq!(memory.start % u64::from(alignment), 0);
                }
                None => assert_eq!(memory.start, runtime.pref_address),
            }
        }
    }

    let Ok(image) = BzImage::parse(data) else {
        assert!(header.setup_len() > data.len() as u64);
        return;
    };
    assert!(!image.to_string().is_empty());
    assert_eq!(
        image.setup().len() + image.protected_mode().len(),
        data.len()
    );
    if let Ok(Some(version)) = image.kernel_version() {
        assert!(!version.contains(&0));
    }
    if let Ok(Some(payload)) = image.payload() {
        let start = payload.offset() as usize;
        assert_eq!(payload.bytes(), &data[start..][..payload.bytes().len()]);
        assert_eq!(payload.compression(), Compression::of(&data[start..]));
    }
    if let Ok(Some(info)) = image.kernel_info() {
        let start = info.offset() as usize;
        let (fixed, variable) = (info.fixed(), info.variable());
        assert_eq!(
            [fixed, variable].concat(),
            &data[start..][..fixed.len() + variable.len()]
        );
    }
    if let Checksum::Wrong { stored, computed } = image.checksum() {
        assert_ne!(stored, computed);
    }
}
