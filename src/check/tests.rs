//! The language: what parses, what doesn't and where, and the verdicts.

use mmview_platform::{Detail, Warning};

use super::{Check, Evidence, Verdict};
use crate::classify::tests::{classified, without_protections, without_share_modes};
use crate::completeness::Missing;

fn check(text: &str) -> Check {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

const MAP: &str = "\
00400000-00401000 r-xp 00000000 08:01 7 /usr/bin/tool
01000000-01100000 rw-p 00000000 00:00 0 [heap]
Rss: 512 kB
Shared_Dirty: 0 kB
Private_Dirty: 64 kB
7f0000000000-7f0000001000 rw-s 00000000 08:01 8 /tmp/data.bin
Rss: 4 kB
7f0000002000-7f0000004000 rw-p 00001000 08:01 9 /var/data.bin (deleted)
Rss: 0 kB
7f0000006000-7f0000007000 rwxp 00000000 00:00 0
7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0 [stack]
Rss: 64 kB
";

#[track_caller]
fn assert_verdict(map: &str, expected: Verdict, texts: &[&str]) {
    let regions = classified(map);
    for text in texts {
        assert_eq!(check(text).verdict(&regions), expected, "{text}");
        let opposite = check(&format!("not ({text})"));
        assert_eq!(opposite.verdict(&regions), !expected, "not ({text})");
        // There is always an explanation.
        for check in [check(text), opposite] {
            assert!(!check.explain(&regions).to_string().is_empty(), "{text}");
        }
    }
}

#[test]
fn checks_that_hold() {
    assert_verdict(
        MAP,
        Verdict::Holds,
        &[
            "mapped \"/tmp/data.bin\"",
            "mapped 'data.bin'",
            "mapped data.*",
            "mapped \"/var/data.bin\"",
            "not mapped \"*.tmp\"",
            "any(path=\"/var/*\" and deleted)",
            "any(deleted=true) and none(path=\"/tmp/data.bin\" and deleted) and any(deleted=false)",
            "any(kind=mapped-file and path=\"/tmp/data.bin\" and size=4K and share=shared)",
            "none(perm=rwxs)",
            "any(perm=rwx) and any(perm=x and not perm=w)",
            "count() == 6",
            "count(perm=rw-) == 4 and 4 = count(perm=w and perm!=rwx)",
            "sum(size, kind=stack) == 132K",
            "sum(size, path=\"*\") >= 0x4000 and max(size) <= 1M",
            "max(size, kind=gc-heap) = 0 and sum(size, kind=gc-heap) = 0",
            "sum(resident, kind=heap) <= sum(size, kind=heap)",
            "at 0x7f0000000800 is rw-s and at 7f0000000800 is mapped",
            "at 0x7f0000001000 is unmapped",
            "at 0x7f0000000000 is (path=\"data.bin\" and share=shared)",
            "any(name=\"[heap]\" and type=heap) and none(type=\"h\")",
            "any(offset=4K and start=7f0000002000 and end=0x7f0000004000)",
            "any(addr=0x7ffd00000010 and kind=stack) and none(addr=1000-2000)",
            "all(size >= 4K) and all() and any()",
            "any(share=private and share=PRV) and any(share=SHM)",
            "not any(kind=heap and kind=stack) or mapped \"x\"",
        ],
    );
}

#[test]
fn checks_that_fail() {
    assert_verdict(
        MAP,
        Verdict::Fails,
        &[
            "mapped \"/data.bin\"",
            "mapped \"[heap]\"",
            "none(perm=rwx)",
            "all(perm=r)  and all(size>4K)",
            "count(kind=stack) == 9",
            "at 0x10 is mapped",
            "at 0x7f0000000000 is r-x",
            "at 0x7f0000000000 is unmapped",
            "sum(resident) < 500K",
            "any(kind=jit-code and kind=heap)",
            "any(share=copy-on-write)",
        ],
    );
}

#[test]
fn what_was_not_measured_is_unknown_unless_the_rest_decides() {
    // The first region and the `rwx` region have no counts.
    assert_verdict(
        MAP,
        Verdict::Unknown,
        &[
            "sum(resident) < 64M",
            "any(resident > 1M)",
            "none(resident > 1M)",
            "max(resident) < 1M",
            "all(resident < 1M)",
            "count(resident > 1M) == 0",
            "at 0x400000 is (resident = 0)",
            "sum(dirty, kind=stack) = 0",
        ],
    );
    assert_verdict(
        MAP,
        Verdict::Holds,
        &[
            "sum(resident) > 100K",
            "any(resident = 512K)",
            "sum(resident, kind=heap) = 512K",
            "count(resident > 1M) < 3",
            "sum(dirty, kind=heap) = 64K",
            "any(resident > 1M) or mapped \"/tmp/data.bin\"",
        ],
    );
    let regions = classified(MAP);
    let found = check("sum(dirty, kind=stack) = 0").explain(&regions);
    assert_eq!(found.unmeasured.iter().copied().collect::<Vec<_>>(), ["dirty"]);
}

#[test]
fn a_protection_that_the_capture_lacks_is_unknown() {
    let regions = without_protections(MAP);
    for (text, expected) in [
        ("any(perm=rwx)", Verdict::Unknown),
        ("none(perm=w)", Verdict::Unknown),
        ("count(perm=rw-) < 9", Verdict::Holds),
        ("any(share=shared)", Verdict::Holds),
        ("at 0x400000 is r-x", Verdict::Unknown),
        ("not at 0x400000 is r-x", Verdict::Unknown),
        ("at 0x400000 is (perm=---)", Verdict::Unknown),
        ("at 0x400000 is mapped", Verdict::Holds),
        ("any(kind=heap)", Verdict::Holds),
    ] {
        let check = check(text);
        assert_eq!(check.verdict(&regions), expected, "{text}");
        if expected == Verdict::Unknown {
            let found = check.explain(&regions);
            assert_eq!(found.unmeasured.len(), 1, "{text}: {found}");
        }
    }
}

#[test]
fn a_share_mode_that_the_capture_lacks_is_unknown() {
    let regions = without_share_modes(MAP);
    for (text, expected) in [
        ("any(share=shared)", Verdict::Unknown),
        ("none(perm=rw-s)", Verdict::Unknown),
        ("any(perm=w)", Verdict::Holds),
        ("any(share=private or kind=heap)", Verdict::Holds),
    ] {
        assert_eq!(check(text).verdict(&regions), expected, "{text}");
    }
}

#[test]
fn kinds_that_need_flags_are_unknown_without_them() {
    let map = "1000-2000 rw-p 00000000 00:00 0\n";
    assert_verdict(
        map,
        Verdict::Unknown,
        &["any(kind=shadow-stack)", "none(kind=huge-pages)", "any(type=\"shadow stack\")"],
    );
    assert_verdict(map, Verdict::Fails, &["any(kind=device)", "any(kind=heap)"]);
    let map = format!("{map}Rss: 4 kB\nVmFlags: rd wr\n");
    assert_verdict(&map, Verdict::Fails, &["any(kind=shadow-stack)", "any(kind=huge-pages)"]);
}

#[test]
fn if_regions_may_be_missing_none_is_known_not_to_exist() {
    let regions = classified(MAP);
    let warning = Warning::Truncated { why: "the end is missing".into() };
    let evidence = Evidence { missing: Some(Missing::Warned(&warning)), ..Evidence::from(&regions) };
    let verdict = |text: &str| check(text).verdict(evidence);
    for text in [
        "not mapped \"x\"",
        "mapped \"x\"",
        "none(perm=rwxs)",
        "all()",
        "count() == 6",
        "count() < 10",
        "sum(size) < 1G",
        "at 0x10 is mapped",
        "at 0x10 is unmapped",
    ] {
        assert_eq!(verdict(text), Verdict::Unknown, "{text}");
        assert!(check(text).explain(evidence).to_string().contains("the end is missing"), "{text}");
    }
    for text in
        ["mapped \"data.bin\"", "count() >= 6", "sum(size) > 1M", "at 0x400000 is r-x", "not none(perm=rwx)"]
    {
        assert_eq!(verdict(text), Verdict::Holds, "{text}");
    }
    for text in ["none(perm=rwx)", "count() < 6", "all(perm=r-x)", "at 0x400000 is w"] {
        assert_eq!(verdict(text), Verdict::Fails, "{text}");
    }
}

#[test]
fn not_binds_tightest_then_and_then_or() {
    for (loose, explicit) in [
        ("any() or any() and any()", "any() or (any() and any())"),
        ("not any() and any()", "(not any()) and any()"),
        ("not not any()", "not (not any())"),
        ("any(not kind=heap and perm=w or deleted)", "any(((not kind=heap) and perm=w) or deleted)"),
        ("count()=1", " count ( )  ==  1 "),
        ("any(size==4K)", "any(size=4K)"),
        ("any(RSS>4K and LazyFree>0 and addr=10)", "any(resident>4K and lazyfree>0 and address=10)"),
        ("sum(Swap_PSS) < 4K", "sum(swap-pss) < 4K"),
    ] {
        assert_eq!(check(loose), check(explicit), "{loose}");
    }
    assert_ne!(check("(any() or any()) and any()"), check("any() or any() and any()"));
}

#[test]
fn display_is_canonical() {
    for (text, own) in [
        ("mapped 'a\"b'", r#"mapped "a\"b""#),
        ("any( kind = 'mapped file' and path!=x )", r#"any(kind=mapped-file and path!="x")"#),
        ("not(any()or all())and(none())", "not (any() or all()) and none()"),
        ("sum(size)<4K", "sum(size) < 4K"),
        ("at 7F00 is (deleted=no)", "at 0x7f00 is (deleted=false)"),
        ("(any() and all()) and none()", "(any() and all()) and none()"),
    ] {
        assert_eq!(check(text).to_string(), own);
        assert_eq!(check(text).text(), text.trim());
    }
}

#[test]
fn every_error_has_a_column_and_a_suggestion() {
    for (text, column, says) in [
        ("", 1, "a check (mapped, any"),
        ("any(kind=mapped-file and sise=4K)", 26, "unknown field `sise`; did you mean `size`?"),
        ("any(wobble=4K)", 5, "the fields are kind, type"),
        ("any(heap)", 5, "write kind=heap"),
        ("any(kind=heep)", 10, "did you mean `heap`?"),
        ("any(kind=elephant)", 10, "the kinds are text, image"),
        ("any(share=sharde)", 11, "did you mean `shared`?"),
        ("any(perm=rwq)", 10, "invalid protection"),
        ("any(size=4X)", 10, "invalid size"),
        ("any(size=)", 10, "expected a number or a size such as 4K, found `)`"),
        ("any(size)", 9, "such as `size=4K`"),
        ("any(kind<heap)", 9, "`kind` can't be ordered"),
        ("any(start=zz)", 11, "invalid address"),
        ("any(addr=20-10)", 10, "its end must be after its start"),
        ("any(deleted=perhaps)", 13, "true or false"),
        ("any(flags<lo)", 10, "`flags` can't be ordered"),
        ("any(detail=x)", 5, "unknown field `detail`"),
        ("sum(page-size) < 4K", 5, "is not a size field"),
        ("any(kind=heap, perm=w)", 14, "write `and` or `or`"),
        ("any(kind=heap", 4, "unclosed parenthesis"),
        ("any kind=heap", 5, "expected `(`, as in any(kind=heap)"),
        ("any(kind=heap))", 15, "unmatched closing parenthesis"),
        ("(any()", 1, "unclosed parenthesis"),
        ("any() any()", 7, "expected `and`, `or` or the end, found `any`"),
        ("any() and", 10, "a check (mapped"),
        ("and any()", 1, "a check is missing before `and`"),
        ("kind=heap", 1, "write any(kind…)"),
        ("maped \"x\"", 1, "did you mean `mapped`?"),
        ("\"/tmp/x\"", 1, "write `mapped` before it"),
        ("mapped", 7, "the whole check as one shell word"),
        ("mapped \"\"", 8, "the path is empty"),
        ("mapped (x)", 8, "a path in quotes"),
        ("mapped \"x", 8, "unterminated"),
        ("any(any())", 5, "to the whole map"),
        ("sum(resident)", 14, "a comparison such as"),
        ("sum(resident) <", 16, "a number, a size"),
        ("sum(kind) < 4K", 5, "is not a size field"),
        ("sum(size kind=heap) < 4K", 10, "a comma and a filter"),
        ("sum() < 4K", 5, "a size field"),
        ("1 < count() < 3", 13, "join two with `and`"),
        ("any(1 < 2)", 5, "unknown field `1`"),
        ("at x is mapped", 4, "invalid address"),
        ("at 0x10 rw-", 9, "`is`"),
        ("at 0x10 is heap", 12, "(kind=heap)"),
        ("at 0x10 is not mapped", 12, "not at 0x10 is"),
        ("at 0x10 is ()", 13, "a field"),
        ("any() && all()", 7, "write `and`"),
        ("any(!deleted)", 5, "write `not`"),
        ("日本 < 4", 1, "a check can't start with"),
        ("mapped \"日本\" && x", 13, "write `and`"),
    ] {
        let error = text.parse::<Check>().expect_err(text);
        assert_eq!(error.column(), column, "{text}: {error}");
        assert!(error.to_string().contains(says), "{text}: {error}");
    }
}

#[test]
fn facts_of_one_system_are_fields() {
    let map = "\
1000-9000 rw-p 00000000 00:00 0 [heap]
Rss: 16 kB
LazyFree: 12 kB
AnonHugePages: 0 kB
THPeligible: 1
VmFlags: rd wr lo
a000-b000 rw-p 00000000 08:01 7 /tmp/data
Rss: 4 kB
LazyFree: 0 kB
AnonHugePages: 0 kB
THPeligible: 0
VmFlags: rd wr
";
    assert_verdict(
        map,
        Verdict::Holds,
        &[
            "any(lazyfree > 10K) and sum(lazyfree) = 12K and max(lazyfree, kind=heap) = 12K",
            "all(thp = 0) and count(thp-eligible) = 1 and any(thp-eligible=false and inode=7)",
            "any(flags=lo and kind=heap) and count(flags=rd) = 2 and none(flags=\"rd wr\")",
            "any(device=\"08:01\" and path=\"/tmp/*\") and all(evidence=kernel)",
        ],
    );
    assert_verdict(map, Verdict::Fails, &["any(lazyfree > 12K)", "any(flags=hg)", "none(thp-eligible)"]);
    assert_verdict(
        map,
        Verdict::Unknown,
        &["any(locked > 0)", "sum(swap-pss) < 1G", "any(user-tag=1)", "any(external-pager)"],
    );
}

#[test]
fn deep_nesting_is_refused_long_lists_are_not() {
    for deep in [
        "(".repeat(100_000),
        "not ".repeat(100_000),
        format!("any({}", "(".repeat(100_000)),
        format!("at 1 is {}", "(".repeat(100_000)),
    ] {
        assert!(deep.parse::<Check>().unwrap_err().to_string().contains("nested deeper"), "{}", &deep[..20]);
    }
    let long = vec!["any(kind=heap)"; 10_000].join(" and ");
    assert_eq!(check(&long).verdict(&classified(MAP)), Verdict::Holds);
}

#[test]
fn a_check_needs_no_more_detail_than_its_fields() {
    for (text, needs) in [
        ("mapped \"x\" and any(kind=heap and perm=rw- and share=shared and size>4K)", Detail::Layout),
        ("at 0x10 is (offset=0 or deleted)", Detail::Layout),
        ("sum(size) > 4K", Detail::Layout),
        ("sum(resident) > 4K", Detail::Resident),
        ("not any(swapped > 0)", Detail::Resident),
        ("max(dirty) > 4K or any()", Detail::Counts),
        ("count(pss > 4K) = 1", Detail::Counts),
        ("at 0x10 is (unique = 0)", Detail::Counts),
        ("any(kind=huge-pages)", Detail::Counts),
        ("any(type=\"shadow*\")", Detail::Counts),
        ("any(flags=lo or thp-eligible)", Detail::Counts),
        ("sum(lazyfree) < 4K", Detail::Counts),
        ("any(inode=7 and device=\"08:*\")", Detail::Layout),
    ] {
        assert_eq!(check(text).needs(), needs, "{text}");
    }
}

#[test]
fn explanations_name_what_decides() {
    let regions = classified(MAP);
    let explained = |text: &str| {
        let found = check(text).explain(&regions);
        let instead = found.findings.iter().flat_map(|finding| &finding.regions).map(|found| {
            format!("{} {}", found.region.range(), found.instead.join(", ")).trim_end().to_owned()
        });
        (found.to_string(), instead.collect::<Vec<_>>())
    };
    let (sentence, nearest) = explained("any(path=\"/var/data.bin\" and share=shared)");
    assert_eq!(sentence, "no region matches all conditions; nearest");
    assert_eq!(
        nearest,
        [
            "7f0000000000-7f0000001000 path is not \"/var/data.bin\"",
            "7f0000002000-7f0000004000 share is private, not shared"
        ]
    );
    let (sentence, _) = explained("mapped \"/tmp/date.bin\"");
    assert_eq!(sentence, "no region maps \"/tmp/date.bin\"; nearest of 3 files");
    assert_eq!(explained("mapped \"/x/elephant\"").1, [""; 0]);
    for (text, sentence) in [
        ("count(kind=stack) == 9", "count(kind=stack) is 1, not 9"),
        ("9 == count(kind=stack)", "count(kind=stack) is 1, not 9"),
        ("2 < count(kind=stack)", "count(kind=stack) is 1, not > 2"),
        ("sum(size, kind=stack) == 135169", "sum(size, kind=stack) is 132K (135168 bytes), not 135169"),
        ("1 == 2", "1 == 2 is false"),
    ] {
        assert_eq!(explained(text).0, sentence);
    }
    assert_eq!(
        explained("not mapped \"/var/data.bin\"").0,
        "1 region maps \"/var/data.bin\", 8K; its file is deleted"
    );
    assert_eq!(explained("none(perm=rwx)").0, "1 region matches perm=rwx, 4K");
    assert!(explained("any(kind=jit-code and kind=heap)").1[0].contains("kind is"));
    assert_eq!(explained("at 0x400010 is rw-").1, ["400000-401000 perm is r-x, not rw-"]);
    assert!(explained("at 0x7f0000005000 is mapped").0.contains("in a gap of 8K"));
    // Only the parts that decide are explained.
    assert_eq!(explained("any() and count() = 7 and any(perm=w)").0, "count() is 6, not 7");
}
