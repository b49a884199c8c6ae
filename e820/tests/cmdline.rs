//! What the command line says about memory: values print as they are read, and any bytes are taken as
//! the kernel takes them.
#![cfg(feature = "alloc")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use e820::{
    Kind, MemoryMap, MergePolicy, RawEntry, RawMap,
    crash::Kernel,
    text::{
        cmdline::Params,
        crashkernel::{Param, XenParam, wanted},
        elfcorehdr::ElfCoreHdr,
        memmap_param::{Action, Item, Items, items},
        memparse::memparse,
    },
};
use proptest::{collection::vec, prelude::*, sample::select};

fn numbers() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..2048_u64,
        any::<u64>(),
        (0..16_u64, 0..7_u32).prop_map(|(n, k)| n << (10 * k))
    ]
}

fn kinds() -> impl Strategy<Value = Kind> {
    select(&[1, 2, 3, 4, 7, 12, 0xefff_ffff][..]).prop_map(Kind)
}

fn actions() -> impl Strategy<Value = Action> {
    let only = prop_oneof![Just(None), kinds().prop_map(Some)];
    prop_oneof![
        Just(Action::ExactMap),
        (numbers(), numbers(), kinds()).prop_map(|(addr, size, kind)| Action::Add(RawEntry {
            addr,
            size,
            kind
        })),
        (numbers(), numbers(), kinds(), kinds())
            .prop_filter("one kind", |(.., from, to)| from != to)
            .prop_map(|(addr, size, from, to)| Action::Update {
                addr,
                size,
                from,
                to
            }),
        (numbers(), numbers(), only).prop_map(|(addr, size, only)| Action::Remove {
            addr,
            size,
            only
        }),
        numbers().prop_map(Action::Limit),
    ]
}

/// Command lines of pieces that mean something.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    let pieces = [
        "crashkernel=",
        "memmap=",
        "mem=",
        "elfcorehdr=",
        "exactmap",
        "64M",
        "1G",
        "0x",
        "0",
        "9",
        ",high",
        ",low",
        ",cma",
        ",",
        ":",
        "-",
        "+",
        "@",
        "%",
        "#",
        "$",
        "!",
        "<",
        " ",
        "\"",
        "x",
        "--",
    ];
    let piece = prop_oneof![
        12 => select(pieces.to_vec()).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..3),
    ];
    vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn actions_print_as_items(list in vec(actions(), 1..5)) {
        let printed: Vec<String> = list.iter().map(Action::to_string).collect();
        let found: Vec<_> = Items::new(printed.join(",").as_bytes(), 1).collect();
        let expected = list.iter().map(|&action| Item { action: Some(action), fault: None });
        prop_assert_eq!(found, expected.collect::<Vec<_>>());
    }

    #[test]
    fn values_of_crashkernel_print_as_they_are_read(
        ranges in vec((numbers(), numbers(), numbers()), 0..4),
        size in numbers(),
        at in prop_oneof![Just(None), numbers().prop_map(Some)],
        suffix in select(&["", ",high", ",low", ",cma"][..]),
    ) {
        let ranges = ranges.into_iter().filter(|(start, end, _)| end > start);
        let list: Vec<_> =
            ranges.map(|(start, end, size)| format!("{start:#x}-{end:#x}:{size}")).collect();
        let at = at.map_or(String::new(), |at| format!("@{at}"));
        let value = match list.is_empty() {
            true if suffix.is_empty() => format!("{size}{at}"),
            true => format!("{size}{suffix}"),
            false => format!("{}{at}", list.join(",")),
        };
        let printed = Param::parse(value.as_bytes()).unwrap().to_string();
        prop_assert_eq!(Param::parse(printed.as_bytes()).unwrap().to_string(), printed);
    }

    #[test]
    fn any_line_is_taken_or_refused(line in lines()) {
        for param in Params::new(&line) {
            let at = usize::try_from(param.column).unwrap() - 1;
            prop_assert!(line[at..].starts_with(param.value.unwrap_or(param.name)));
        }
        for item in items(&line) {
            prop_assert!(item.action.is_some() || item.fault.is_some());
        }
        let (_, rest) = memparse(&line);
        prop_assert!(line.ends_with(rest));
        let _ = (Param::parse(&line), XenParam::parse(&line), ElfCoreHdr::find(&line));

        let ram = |addr| RawEntry { addr, size: 1 << 30, kind: Kind::RAM };
        let map = RawMap::new([ram(0), ram(1 << 32)]).sanitize(MergePolicy::default()).unwrap();
        if let Ok(Some(user)) = map.with_cmdline(&line, MergePolicy::default()) {
            prop_assert!(MemoryMap::try_new(user.into_inner()).is_ok());
        }
        if let Ok(Some(wanted)) = wanted(&line, map.total(Kind::RAM), &Kernel::X86_64) {
            prop_assert!(wanted.size > 0 && wanted.size < 2 << 30);
            if let Ok(found) = map.reserve_crashkernel(&wanted, &[], &Kernel::X86_64) {
                prop_assert!(map.mapped_all(found.main, Some(Kind::RAM)));
            }
        }
    }
}
