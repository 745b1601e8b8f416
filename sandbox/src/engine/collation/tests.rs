use super::*;
use std::cmp::Ordering::{Equal, Greater, Less};

fn units(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

/// The only unit.
fn one(text: &str) -> Option<u16> {
    match units(text).as_slice() {
        [unit] => Some(*unit),
        _ => None,
    }
}

const DEFAULT_WORDS: &str = "SQL_Latin1_General_CP1_CI_AS";
const WINDOWS: &str = "Latin1_General_CI_AS";
const WINDOWS_100: &str = "Latin1_General_100_CI_AS";

fn wide(name: &str) -> Arc<Collate> {
    Collate::named(name).unwrap()
}

fn narrow(name: &str) -> Arc<Collate> {
    wide(name).of(&SqlType::VarChar(Some(10))).clone()
}

fn key(collate: &Collate, text: &[u16]) -> Vec<u8> {
    let mut key = Vec::new();
    collate.sort_key(text, &mut key);
    key
}

/// The order of two texts; by keys and by comparing alike.
fn order(collate: &Collate, left: &str, right: &str) -> Ordering {
    let (a, b) = (units(left), units(right));
    let order = collate.compare(&a, &b);
    assert_eq!(
        key(collate, &a).cmp(&key(collate, &b)),
        order,
        "{left:?} {right:?}"
    );
    order
}

#[test]
fn hyphen_and_apostrophe_break_ties_in_words_only() {
    for collate in [wide(DEFAULT_WORDS), wide(WINDOWS), narrow(WINDOWS)] {
        assert_eq!(order(&collate, "a-c", "ab"), Greater);
        let words = [
            "co_op", "coat", "comb", "coop", "co'op", "co-op", "cork", "went", "were", "we're",
        ];
        for (at, word) in words.iter().enumerate() {
            for later in &words[at + 1..] {
                assert_eq!(order(&collate, word, later), Less, "{word} {later}");
            }
        }
        assert_eq!(order(&collate, "aa", "-aa"), Less);
        assert_eq!(order(&collate, "-aa", "a-a"), Less);
    }
    let table = narrow(DEFAULT_WORDS);
    assert_eq!(order(&table, "a-c", "ab"), Less);
    assert_eq!(order(&table, "co-op", "coat"), Less);
}

#[test]
fn some_characters_are_two_letters() {
    for collate in [wide(DEFAULT_WORDS), wide(WINDOWS), narrow(WINDOWS)] {
        for (one, two) in [("ß", "ss"), ("æ", "ae"), ("Œ", "oe"), ("þ", "TH")] {
            assert_eq!(order(&collate, one, two), Equal, "{one}");
        }
        assert_eq!(order(&collate, "Straße-1", "STRASSE-1"), Equal);
    }
    let sensitive = wide("Latin1_General_CS_AS");
    assert_eq!(order(&sensitive, "Æ", "AE"), Equal);
    assert_ne!(order(&sensitive, "Æ", "ae"), Equal);
    for collate in [
        narrow(DEFAULT_WORDS),
        wide("Latin1_General_BIN2"),
        narrow("Latin1_General_BIN2"),
    ] {
        assert_ne!(order(&collate, "ß", "ss"), Equal);
    }
    assert_ne!(order(&wide("Danish_Norwegian_CI_AS"), "æ", "ae"), Equal);
}

#[test]
fn what_has_no_weight_is_as_if_it_were_not_there() {
    for collate in [wide(DEFAULT_WORDS), wide(WINDOWS), wide(WINDOWS_100)] {
        for text in ["ab\0", "\0ab", "a\u{AD}b", "a\u{200B}b"] {
            assert_eq!(order(&collate, text, "ab"), Equal, "{text:?}");
        }
    }
    // Emoji, Ethiopic and the like weigh something from version 100 on.
    for text in ["😀", "\u{12A0}", "\u{14DE}", "\u{04D2}", "\u{3358}"] {
        for name in [DEFAULT_WORDS, WINDOWS] {
            assert_eq!(order(&wide(name), text, ""), Equal, "{text}");
        }
        for name in [WINDOWS_100, "Latin1_General_BIN2"] {
            assert_eq!(order(&wide(name), text, ""), Greater, "{text}");
        }
    }
    assert_eq!(order(&wide(DEFAULT_WORDS), "a😀", "a😁"), Equal);
    assert_eq!(order(&wide("Japanese_90_CI_AS"), "a😀", "a😁"), Less);
    assert_eq!(order(&wide(WINDOWS_100), "a😀", "a😁"), Less);
}

#[test]
fn accents_and_case_count_after_all_letters() {
    let collate = wide(WINDOWS);
    assert_eq!(order(&collate, "éa", "eb"), Less);
    assert_eq!(order(&collate, "ea", "éa"), Less);
    assert_eq!(order(&collate, "e\u{301}a", "ÉA"), Equal);
    assert_eq!(order(&wide("Latin1_General_CI_AI"), "éa", "EA"), Equal);
    let sensitive = wide("Latin1_General_CS_AS");
    assert_eq!(order(&sensitive, "aB", "Ab"), Less);
    assert_eq!(order(&sensitive, "Aa", "aB"), Less);
    assert_eq!(order(&collate, "\u{FF21}", "a"), Equal);
    assert_ne!(
        order(&wide("Latin1_General_CI_AS_WS"), "\u{FF21}", "a"),
        Equal
    );
    assert_eq!(order(&wide("Japanese_CI_AS"), "あ", "ア"), Equal);
    assert_ne!(order(&wide("Japanese_CI_AS_KS"), "あ", "ア"), Equal);
}

#[test]
fn the_shorter_text_is_as_if_spaces_followed() {
    for collate in [
        narrow(DEFAULT_WORDS),
        wide("Latin1_General_BIN2"),
        narrow("Latin1_General_BIN2"),
        wide("Latin1_General_BIN"),
    ] {
        assert_eq!(order(&collate, "a  ", "a"), Equal);
        assert_eq!(order(&collate, "a\t", "a"), Less);
        assert_eq!(order(&collate, "a \t", "a"), Less);
        assert_eq!(order(&collate, "a b", "a"), Greater);
        assert_eq!(order(&collate, "a  b", "a b"), Less);
        assert_eq!(order(&collate, "a  \t", "a \t"), Greater);
    }
}

#[test]
fn binary_collations_go_by_code() {
    // U+20AC is byte 0x80 of code page 1252, before é, 0xE9.
    assert_eq!(order(&wide("Latin1_General_BIN2"), "€", "é"), Greater);
    assert_eq!(order(&narrow("Latin1_General_BIN2"), "€", "é"), Less);
    // U+0100 after U+00FF, but byte 00 before byte FF where the bytes are compared as they are stored.
    assert_eq!(order(&wide("Latin1_General_BIN"), "Ā", "ÿ"), Greater);
    assert_eq!(order(&wide("Latin1_General_BIN"), "aĀ", "aÿ"), Less);
    assert_eq!(order(&wide("Latin1_General_BIN2"), "aĀ", "aÿ"), Greater);
}

#[test]
fn keys_and_comparison_agree_and_no_key_starts_another() {
    const SAMPLE: [&str; 37] = [
        "a", "A", "b", "-", "'", " ", "\t", "\0", "\u{1}", "0", "~", "ß", "s", "æ", "e", "é",
        "\u{301}", "\u{AD}", "😀", "Ω", "日", "\u{FF21}", "€", "þ", "å", "Å", "ä", "i", "I", "ı",
        "İ", "c", "h", "H", "l", "ª", "V",
    ];
    let mut seed = 7u32;
    let mut next = |below: usize| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as usize % below
    };
    let collates = [
        wide(DEFAULT_WORDS),
        narrow(DEFAULT_WORDS),
        narrow("SQL_Latin1_General_CP1_CS_AS"),
        wide("Latin1_General_CS_AS_KS_WS"),
        wide("Latin1_General_CI_AI"),
        wide("Latin1_General_100_CI_AS_SC"),
        wide("Latin1_General_BIN"),
        wide("Latin1_General_BIN2"),
        narrow("Latin1_General_BIN2"),
        wide("Danish_Norwegian_CI_AS"),
        wide("Danish_Norwegian_CS_AI"),
        narrow("SQL_Danish_Pref_CP1_CI_AS"),
        wide("Turkish_CI_AS"),
        narrow("SQL_Latin1_General_CP1254_CS_AS"),
        wide("German_PhoneBook_CI_AS"),
        wide("Traditional_Spanish_CS_AS"),
        wide("Welsh_100_CI_AI"),
    ];
    for _ in 0..20_000 {
        let mut text = || {
            (0..next(6))
                .map(|_| SAMPLE[next(SAMPLE.len())])
                .collect::<String>()
        };
        let (left, right) = (text(), text());
        for collate in &collates {
            let same = order(collate, &left, &right) == Equal;
            let (a, b) = (key(collate, &units(&left)), key(collate, &units(&right)));
            assert_eq!(a == b, same);
            if let (Some(a), Some(b)) = (one(&left), one(&right)) {
                assert!(!collate.same_unit(a, b) || same, "{left:?} {right:?}");
            }
            assert!(same || !a.starts_with(&b), "{left:?} {right:?}");
        }
    }
}

#[test]
fn places_count_pairs_where_the_collation_has_pairs() {
    let text = units("a😀b");
    let pairs = wide("Latin1_General_100_CI_AS_SC");
    assert_eq!((pairs.count(&text), pairs.place(&text, 2)), (3, 3));
    assert_eq!(pairs.place(&text, 9), 4);
    let halves = wide(WINDOWS_100);
    assert_eq!((halves.count(&text), halves.place(&text, 2)), (4, 2));
}

/// Each word comes before the next.
#[track_caller]
fn ascend(collate: &Collate, words: &[&str]) {
    for (at, word) in words.iter().enumerate() {
        for later in &words[at + 1..] {
            assert_eq!(order(collate, word, later), Less, "{word} {later}");
        }
    }
}

#[test]
fn danish_has_three_letters_after_z_and_a_pair() {
    for name in [
        "Danish_Norwegian_CI_AS",
        "Danish_Greenlandic_100_CI_AS",
        "Norwegian_100_CI_AS",
    ] {
        for collate in [wide(name), narrow(name)] {
            ascend(&collate, &["a", "aA", "ab", "ø", "åb"]);
            ascend(
                &collate,
                &["a", "b", "y", "ü", "z", "Za", "æ", "ä", "ö", "ø", "aa", "Å"],
            );
            ascend(
                &collate,
                &[
                    "Abel", "Zorn", "Ærø", "Øster", "Aabenraa", "Aarhus", "Århus",
                ],
            );
            assert_eq!(order(&collate, "AA", "aa"), Equal);
            assert_eq!(order(&collate, "Aa", "aa"), Equal);
            assert_ne!(order(&collate, "aA", "AA"), Equal);
            assert_ne!(order(&collate, "aa", "å"), Equal);
            assert_eq!(order(&collate, "Å", "å"), Equal);
        }
    }
    let deaf = wide("Danish_Norwegian_CI_AI");
    for (one, two) in [("aa", "å"), ("AA", "å"), ("Æ", "ä"), ("ö", "ø"), ("ü", "y")] {
        assert_eq!(order(&deaf, one, two), Equal, "{one}");
    }
    assert_ne!(order(&deaf, "å", "a"), Equal);
    ascend(
        &wide("Danish_Norwegian_CS_AS"),
        &["aa", "Aa", "AA", "å", "Å"],
    );
    ascend(
        &narrow("SQL_Danish_Pref_CP1_CI_AS"),
        &["aa", "ab", "z", "æ", "ø", "å"],
    );
}

#[test]
fn turkish_has_two_letters_i() {
    for name in [
        "Turkish_CI_AS",
        "Turkish_CI_AI",
        "Turkish_100_CI_AS",
        "SQL_Latin1_General_CP1254_CI_AS",
    ] {
        for collate in [wide(name), narrow(name)] {
            assert_eq!(order(&collate, "I", "ı"), Equal, "{name}");
            assert_eq!(order(&collate, "İ", "i"), Equal, "{name}");
            ascend(
                &collate,
                &[
                    "c", "ç", "d", "g", "ğ", "h", "ı", "i", "j", "o", "ö", "p", "s", "ş", "t",
                ],
            );
            ascend(
                &collate,
                &["HIZ", "Ilgaz", "ırmak", "İzmir", "izmit", "jale"],
            );
            assert!(!collate.same_unit(u16::from(b'I'), u16::from(b'i')));
            assert!(collate.same_unit(u16::from(b'I'), 0x131));
            assert!(collate.same_unit(u16::from(b'J'), u16::from(b'j')));
        }
    }
    ascend(&wide("Turkish_CS_AS"), &["ı", "I", "i", "İ"]);
    for other in [
        DEFAULT_WORDS,
        WINDOWS,
        "French_CI_AS",
        "Azeri_Latin_100_CI_AS",
    ] {
        assert_eq!(order(&wide(other), "I", "i"), Equal);
        assert_ne!(order(&wide(other), "ı", "i"), Equal);
    }
}

#[test]
fn german_phone_books_take_an_umlaut_for_two_letters() {
    let book = wide("German_PhoneBook_CI_AS");
    ascend(
        &book,
        &["Mudrich", "Mueller", "Müllerin", "Muffler", "Zöllner"],
    );
    for (one, two) in [
        ("Müller", "MUELLER"),
        ("Jäger", "Jaeger"),
        ("Öl", "oel"),
        ("ß", "ss"),
    ] {
        assert_eq!(order(&book, one, two), Equal, "{one}");
    }
    assert_eq!(order(&wide("German_PhoneBook_CS_AS"), "Öl", "Oel"), Equal);
    assert_ne!(order(&wide("German_PhoneBook_CS_AS"), "Öl", "oel"), Equal);
    assert_ne!(order(&wide(WINDOWS), "Müller", "Mueller"), Equal);
    assert_ne!(order(&wide("Danish_Norwegian_CI_AI"), "ä", "ae"), Equal);
}

#[test]
fn pairs_are_letters_where_the_alphabet_has_them() {
    let spanish = wide("Traditional_Spanish_CI_AS");
    ascend(
        &spanish,
        &[
            "cosa", "czar", "chico", "dama", "luz", "llama", "mano", "nz", "ñu", "o",
        ],
    );
    assert_eq!(order(&spanish, "Ch", "CH"), Equal);
    assert_ne!(order(&spanish, "cH", "ch"), Equal);
    let modern = wide("Modern_Spanish_CI_AI");
    ascend(&modern, &["chico", "cosa", "llama", "luz", "nz", "ñu", "o"]);
    ascend(
        &wide("Welsh_100_CI_AS"),
        &[
            "cwm", "chwech", "dydd", "ddoe", "g", "ngwlad", "h", "lol", "llan", "pwll", "phen",
            "tŷ", "thus",
        ],
    );
    for other in [DEFAULT_WORDS, WINDOWS] {
        ascend(
            &wide(other),
            &["a", "å", "aa", "ab", "ch", "ci", "ll", "lo", "ñu", "nz"],
        );
    }
}

/// No sign of a code page is a letter.
#[test]
fn one_character_after_another_each_is_one_of_its_own() {
    for name in [
        DEFAULT_WORDS,
        "SQL_Danish_Pref_CP1_CI_AS",
        "SQL_Latin1_General_CP1254_CI_AS",
    ] {
        let collate = narrow(name);
        let bytes: Vec<u8> = (0x20..=0xFF).collect();
        let text = collate.info.code_page.text(&bytes);
        let is_sign = |unit: &u16| {
            char::from_u32(u32::from(*unit))
                .is_some_and(|c| !c.is_alphabetic() || c == 'ª' || c == 'º')
        };
        for (at, unit) in text.iter().enumerate().filter(|(_, unit)| is_sign(unit)) {
            for other in &text[at + 1..] {
                assert!(
                    !collate.same_unit(*unit, *other) || unit == other,
                    "{unit:X} {other:X}"
                );
            }
        }
    }
}
