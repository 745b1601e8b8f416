//! What a collation's name says: locale, comparison flags, version, sort id and code page, and its five bytes on
//! the wire.
//!
//! A name is taken apart, never guessed: a designator, version or suffix that is not in the tables here gives `None`.
//! Sources of the figures: `sys.fn_helpcollations` and `COLLATIONPROPERTY` as SQL Server documents them, and
//! [MS-TDS] 2.2.5.1.2.

mod code_page;

pub use code_page::CodePage;

use crate::value::Collation;

/// The collation of a server, database or column that states none.
pub const DEFAULT: &str = "SQL_Latin1_General_CP1_CI_AS";

/// Its bytes on the wire.
pub const DEFAULT_WIRE: [u8; 5] = [0x09, 0x04, 0xD0, 0x00, 0x34];

const IGNORE_CASE: u8 = 0x01;
const IGNORE_ACCENT: u8 = 0x02;
const IGNORE_KANA: u8 = 0x04;
const IGNORE_WIDTH: u8 = 0x08;
const BINARY: u8 = 0x10;
const BINARY2: u8 = 0x20;
const UTF8: u8 = 0x40;

/// A collation taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CollationInfo {
    /// Windows locale, 20 bits.
    pub lcid: u32,
    /// Comparison flags as [MS-TDS] 2.2.5.1.2 orders them, 8 bits.
    pub flags: u8,
    /// 0 for the first version, 1 for `_90`, 2 for `_100`, 3 for `_140`.
    pub version: u8,
    /// Not zero for the `SQL_` collations that have one.
    pub sort_id: u8,
    pub code_page: CodePage,
    /// Functions count a surrogate pair as one character: `_SC`, `_UTF8`, and every collation of version 140.
    pub supplementary: bool,
}

impl CollationInfo {
    /// Takes a collation's name apart; `None` when SQL Server has no such collation or the tables here lack it.
    pub fn of(name: &str) -> Option<Self> {
        match strip_prefix_ignoring_case(name, "SQL_") {
            Some(rest) => sql_collation(rest),
            None => windows_collation(name),
        }
    }

    /// As [`Self::of`] for a column's collation, with the server's default when it has none.
    pub fn of_column(collation: Option<&Collation>) -> Option<Self> {
        Self::of(collation.map_or(DEFAULT, |c| &c.0))
    }

    /// The five bytes that describe it in TYPE_INFO.
    pub fn wire(&self) -> [u8; 5] {
        let info = (self.lcid & 0xF_FFFF)
            | (u32::from(self.flags) << 20)
            | (u32::from(self.version) << 28);
        let [a, b, c, d] = info.to_le_bytes();
        [a, b, c, d, self.sort_id]
    }

    /// Upper and lower case are equal.
    pub fn ignores_case(&self) -> bool {
        self.flags & IGNORE_CASE != 0
    }

    /// Accented letters equal their base letters.
    pub fn ignores_accent(&self) -> bool {
        self.flags & IGNORE_ACCENT != 0
    }

    /// Hiragana and katakana are equal.
    pub fn ignores_kana(&self) -> bool {
        self.flags & IGNORE_KANA != 0
    }

    /// Full-width and half-width forms are equal.
    pub fn ignores_width(&self) -> bool {
        self.flags & IGNORE_WIDTH != 0
    }

    /// Strings compare by code.
    pub fn is_binary(&self) -> bool {
        self.flags & (BINARY | BINARY2) != 0
    }

    /// The first kind of binary comparison, `_BIN`: by code unit for the first character only.
    pub fn is_old_binary(&self) -> bool {
        self.flags & BINARY != 0
    }
}

/// The code page that a client's five collation bytes name; `None` for a locale or sort id that is not in the
/// tables here.
pub fn code_page_of_wire(bytes: [u8; 5]) -> Option<CodePage> {
    let info = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let flags = ((info >> 20) & 0xFF) as u8;
    if flags & UTF8 != 0 {
        return Some(CodePage::Utf8);
    }
    if bytes[4] != 0 {
        return SQL_SORTS
            .iter()
            .find(|sort| sort.sort_id == bytes[4])
            .map(|sort| sort.code_page);
    }
    let lcid = info & 0xF_FFFF;
    // A client that knows no collation sends zeros, or a locale of English other than the United States.
    if lcid == 0 || lcid & 0x3FF == 0x009 {
        return Some(CodePage::Cp1252);
    }
    LOCALES
        .iter()
        .find(|(_, known, _)| *known == lcid)
        .map(|(_, _, code_page)| *code_page)
}

fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix)
        .then(|| &text[prefix.len()..])
}

/// `Latin1_General_100_CI_AS_SC_UTF8` and its like: the longest designator that fits, then the suffixes in their order.
fn windows_collation(name: &str) -> Option<CollationInfo> {
    let (designator, lcid, code_page) = LOCALES
        .iter()
        .filter(|(designator, _, _)| {
            strip_prefix_ignoring_case(name, designator)
                .is_some_and(|rest| rest.starts_with('_') || rest.is_empty())
        })
        .max_by_key(|(designator, _, _)| designator.len())?;
    let mut suffixes = name[designator.len()..]
        .split('_')
        .skip(1)
        .map(str::to_ascii_uppercase)
        .peekable();
    let version = match suffixes.peek().map(String::as_str) {
        Some("90") => 1,
        Some("100") => 2,
        Some("140") => 3,
        _ => 0,
    };
    if version > 0 {
        suffixes.next();
    }
    let Suffixes {
        flags,
        utf8,
        supplementary,
    } = comparison_flags(suffixes)?;
    let code_page = if utf8 { CodePage::Utf8 } else { *code_page };
    Some(CollationInfo {
        lcid: *lcid,
        flags: flags | if utf8 { UTF8 } else { 0 },
        version,
        sort_id: 0,
        code_page,
        supplementary: supplementary || utf8 || version == 3,
    })
}

/// What the suffixes of a Windows collation say.
struct Suffixes {
    flags: u8,
    utf8: bool,
    supplementary: bool,
}

/// Flags of `CI`, `AS`, `KS`, `WS`, `VSS`, `SC`, `UTF8`, `BIN` and `BIN2`; a suffix out of place is no collation.
fn comparison_flags(suffixes: impl Iterator<Item = String>) -> Option<Suffixes> {
    let mut flags = IGNORE_KANA | IGNORE_WIDTH;
    let mut utf8 = false;
    let mut supplementary = false;
    let mut stage = 0;
    for suffix in suffixes {
        let (needs, next) = match suffix.as_str() {
            "BIN" | "BIN2" => (0..=0, 10),
            "CI" | "CS" => (0..=0, 1),
            "AI" | "AS" => (1..=1, 2),
            "KS" => (2..=2, 3),
            "WS" => (2..=3, 4),
            "VSS" => (2..=4, 5),
            "SC" => (2..=5, 6),
            "UTF8" => (2..=10, 11),
            _ => return None,
        };
        if !needs.contains(&stage) {
            return None;
        }
        stage = next;
        match suffix.as_str() {
            "BIN" => flags = BINARY,
            "BIN2" => flags = BINARY2,
            "CI" => flags |= IGNORE_CASE,
            "AI" => flags |= IGNORE_ACCENT,
            "KS" => flags &= !IGNORE_KANA,
            "WS" => flags &= !IGNORE_WIDTH,
            "SC" => supplementary = true,
            "UTF8" => utf8 = true,
            _ => {}
        }
    }
    (stage >= 2).then_some(Suffixes {
        flags,
        utf8,
        supplementary,
    })
}

fn sql_collation(name: &str) -> Option<CollationInfo> {
    let sort = SQL_SORTS
        .iter()
        .find(|sort| sort.name.eq_ignore_ascii_case(name))?;
    let upper = name.to_ascii_uppercase();
    let mut flags = IGNORE_KANA | IGNORE_WIDTH;
    if upper.ends_with("_BIN") {
        flags = BINARY;
    }
    if upper.ends_with("_BIN2") {
        flags = BINARY2;
    }
    if upper.contains("_CI_") {
        flags |= IGNORE_CASE;
    }
    if upper.ends_with("_AI") {
        flags |= IGNORE_ACCENT;
    }
    Some(CollationInfo {
        lcid: sort.lcid,
        flags,
        version: 0,
        sort_id: sort.sort_id,
        code_page: sort.code_page,
        supplementary: false,
    })
}

/// Windows designators with their locale and code page.
#[rustfmt::skip]
const LOCALES: &[(&str, u32, CodePage)] = &[
    ("Latin1_General", 0x0409, CodePage::Cp1252),
    ("Albanian", 0x041C, CodePage::Cp1250),
    ("Arabic", 0x0401, CodePage::Cp1256),
    ("Chinese_PRC", 0x0804, CodePage::Cp936),
    ("Chinese_PRC_Stroke", 0x2_0804, CodePage::Cp936),
    ("Chinese_Simplified_Pinyin", 0x0804, CodePage::Cp936),
    ("Chinese_Simplified_Stroke_Order", 0x2_0804, CodePage::Cp936),
    ("Chinese_Taiwan_Stroke", 0x0404, CodePage::Cp950),
    ("Chinese_Taiwan_Bopomofo", 0x3_0404, CodePage::Cp950),
    ("Chinese_Traditional_Stroke_Count", 0x0404, CodePage::Cp950),
    ("Chinese_Traditional_Bopomofo", 0x3_0404, CodePage::Cp950),
    ("Chinese_Hong_Kong_Stroke", 0x0C04, CodePage::Cp950),
    ("Croatian", 0x041A, CodePage::Cp1250),
    ("Cyrillic_General", 0x0419, CodePage::Cp1251),
    ("Czech", 0x0405, CodePage::Cp1250),
    ("Danish_Norwegian", 0x0406, CodePage::Cp1252),
    ("Danish_Greenlandic", 0x0406, CodePage::Cp1252),
    ("Estonian", 0x0425, CodePage::Cp1257),
    ("Finnish_Swedish", 0x040B, CodePage::Cp1252),
    ("French", 0x040C, CodePage::Cp1252),
    ("Georgian_Modern_Sort", 0x1_0437, CodePage::Cp1252),
    ("German_PhoneBook", 0x1_0407, CodePage::Cp1252),
    ("Greek", 0x0408, CodePage::Cp1253),
    ("Hebrew", 0x040D, CodePage::Cp1255),
    ("Hungarian", 0x040E, CodePage::Cp1250),
    ("Hungarian_Technical", 0x1_040E, CodePage::Cp1250),
    ("Icelandic", 0x040F, CodePage::Cp1252),
    ("Indic_General", 0x0439, CodePage::UnicodeOnly),
    ("Japanese", 0x0411, CodePage::Cp932),
    ("Japanese_XJIS", 0x0411, CodePage::Cp932),
    ("Japanese_Unicode", 0x1_0411, CodePage::Cp932),
    ("Japanese_Bushu_Kakusu", 0x4_0411, CodePage::Cp932),
    ("Korean_Wansung", 0x0412, CodePage::Cp949),
    ("Korean", 0x0412, CodePage::Cp949),
    ("Latvian", 0x0426, CodePage::Cp1257),
    ("Lithuanian", 0x0427, CodePage::Cp1257),
    ("Macedonian_FYROM", 0x042F, CodePage::Cp1251),
    ("Modern_Spanish", 0x0C0A, CodePage::Cp1252),
    ("Traditional_Spanish", 0x040A, CodePage::Cp1252),
    ("Polish", 0x0415, CodePage::Cp1250),
    ("Romanian", 0x0418, CodePage::Cp1250),
    ("Slovak", 0x041B, CodePage::Cp1250),
    ("Slovenian", 0x0424, CodePage::Cp1250),
    ("Thai", 0x041E, CodePage::Cp874),
    ("Turkish", 0x041F, CodePage::Cp1254),
    ("Ukrainian", 0x0422, CodePage::Cp1251),
    ("Vietnamese", 0x042A, CodePage::Cp1258),
    ("Assamese", 0x044D, CodePage::UnicodeOnly),
    ("Azeri_Cyrillic", 0x082C, CodePage::Cp1251),
    ("Azeri_Latin", 0x042C, CodePage::Cp1254),
    ("Bashkir", 0x046D, CodePage::Cp1251),
    ("Bengali", 0x0445, CodePage::UnicodeOnly),
    ("Bosnian_Cyrillic", 0x201A, CodePage::Cp1251),
    ("Bosnian_Latin", 0x141A, CodePage::Cp1250),
    ("Breton", 0x047E, CodePage::Cp1252),
    ("Corsican", 0x0483, CodePage::Cp1252),
    ("Dari", 0x048C, CodePage::Cp1256),
    ("Divehi", 0x0465, CodePage::UnicodeOnly),
    ("Frisian", 0x0462, CodePage::Cp1252),
    ("Kazakh", 0x043F, CodePage::Cp1251),
    ("Khmer", 0x0453, CodePage::UnicodeOnly),
    ("Lao", 0x0454, CodePage::UnicodeOnly),
    ("Maltese", 0x043A, CodePage::UnicodeOnly),
    ("Maori", 0x0481, CodePage::UnicodeOnly),
    ("Mapudungan", 0x047A, CodePage::Cp1252),
    ("Mohawk", 0x047C, CodePage::Cp1252),
    ("Nepali", 0x0461, CodePage::UnicodeOnly),
    ("Norwegian", 0x0414, CodePage::Cp1252),
    ("Pashto", 0x0463, CodePage::UnicodeOnly),
    ("Persian", 0x0429, CodePage::Cp1256),
    ("Romansh", 0x0417, CodePage::Cp1252),
    ("Sami_Norway", 0x043B, CodePage::Cp1252),
    ("Sami_Sweden_Finland", 0x083B, CodePage::Cp1252),
    ("Serbian_Cyrillic", 0x0C1A, CodePage::Cp1251),
    ("Serbian_Latin", 0x081A, CodePage::Cp1250),
    ("Syriac", 0x045A, CodePage::UnicodeOnly),
    ("Tamazight", 0x085F, CodePage::Cp1252),
    ("Tatar", 0x0444, CodePage::Cp1251),
    ("Tibetan", 0x0451, CodePage::UnicodeOnly),
    ("Turkmen", 0x0442, CodePage::Cp1250),
    ("Uighur", 0x0480, CodePage::Cp1256),
    ("Upper_Sorbian", 0x042E, CodePage::Cp1252),
    ("Urdu", 0x0420, CodePage::Cp1256),
    ("Uzbek_Latin", 0x0443, CodePage::Cp1254),
    ("Welsh", 0x0452, CodePage::Cp1252),
    ("Yakut", 0x0485, CodePage::Cp1251),
];

/// A `SQL_` collation: its name after the prefix, sort id, locale and code page.
struct SqlSort {
    name: &'static str,
    sort_id: u8,
    lcid: u32,
    code_page: CodePage,
}

const fn sort(name: &'static str, sort_id: u8, lcid: u32, code_page: CodePage) -> SqlSort {
    SqlSort {
        name,
        sort_id,
        lcid,
        code_page,
    }
}

#[rustfmt::skip]
const SQL_SORTS: &[SqlSort] = &[
    sort("Latin1_General_CP437_BIN", 30, 0x0409, CodePage::Cp437),
    sort("Latin1_General_CP437_BIN2", 30, 0x0409, CodePage::Cp437),
    sort("Latin1_General_CP437_CS_AS", 31, 0x0409, CodePage::Cp437),
    sort("Latin1_General_CP437_CI_AS", 32, 0x0409, CodePage::Cp437),
    sort("Latin1_General_Pref_CP437_CI_AS", 33, 0x0409, CodePage::Cp437),
    sort("Latin1_General_CP437_CI_AI", 34, 0x0409, CodePage::Cp437),
    sort("Latin1_General_CP850_BIN", 40, 0x0409, CodePage::Cp850),
    sort("Latin1_General_CP850_BIN2", 40, 0x0409, CodePage::Cp850),
    sort("Latin1_General_CP850_CS_AS", 41, 0x0409, CodePage::Cp850),
    sort("Latin1_General_CP850_CI_AS", 42, 0x0409, CodePage::Cp850),
    sort("Latin1_General_Pref_CP850_CI_AS", 43, 0x0409, CodePage::Cp850),
    sort("Latin1_General_CP850_CI_AI", 44, 0x0409, CodePage::Cp850),
    sort("1xCompat_CP850_CI_AS", 49, 0x0409, CodePage::Cp850),
    sort("Latin1_General_CP1_CS_AS", 51, 0x0409, CodePage::Cp1252),
    sort("Latin1_General_CP1_CI_AS", 52, 0x0409, CodePage::Cp1252),
    sort("Latin1_General_Pref_CP1_CI_AS", 53, 0x0409, CodePage::Cp1252),
    sort("Latin1_General_CP1_CI_AI", 54, 0x0409, CodePage::Cp1252),
    sort("AltDiction_CP850_CS_AS", 55, 0x0409, CodePage::Cp850),
    sort("AltDiction_Pref_CP850_CI_AS", 56, 0x0409, CodePage::Cp850),
    sort("AltDiction_CP850_CI_AI", 57, 0x0409, CodePage::Cp850),
    sort("Scandinavian_Pref_CP850_CI_AS", 58, 0x0409, CodePage::Cp850),
    sort("Scandinavian_CP850_CS_AS", 59, 0x0409, CodePage::Cp850),
    sort("Scandinavian_CP850_CI_AS", 60, 0x0409, CodePage::Cp850),
    sort("AltDiction_CP850_CI_AS", 61, 0x0409, CodePage::Cp850),
    sort("Latin1_General_CP1250_CS_AS", 81, 0x0409, CodePage::Cp1250),
    sort("Latin1_General_CP1250_CI_AS", 82, 0x0409, CodePage::Cp1250),
    sort("Czech_CP1250_CS_AS", 83, 0x0405, CodePage::Cp1250),
    sort("Czech_CP1250_CI_AS", 84, 0x0405, CodePage::Cp1250),
    sort("Hungarian_CP1250_CS_AS", 85, 0x040E, CodePage::Cp1250),
    sort("Hungarian_CP1250_CI_AS", 86, 0x040E, CodePage::Cp1250),
    sort("Polish_CP1250_CS_AS", 87, 0x0415, CodePage::Cp1250),
    sort("Polish_CP1250_CI_AS", 88, 0x0415, CodePage::Cp1250),
    sort("Romanian_CP1250_CS_AS", 89, 0x0418, CodePage::Cp1250),
    sort("Romanian_CP1250_CI_AS", 90, 0x0418, CodePage::Cp1250),
    sort("Croatian_CP1250_CS_AS", 91, 0x041A, CodePage::Cp1250),
    sort("Croatian_CP1250_CI_AS", 92, 0x041A, CodePage::Cp1250),
    sort("Slovak_CP1250_CS_AS", 93, 0x041B, CodePage::Cp1250),
    sort("Slovak_CP1250_CI_AS", 94, 0x041B, CodePage::Cp1250),
    sort("Slovenian_CP1250_CS_AS", 95, 0x0424, CodePage::Cp1250),
    sort("Slovenian_CP1250_CI_AS", 96, 0x0424, CodePage::Cp1250),
    sort("Latin1_General_CP1251_CS_AS", 105, 0x0409, CodePage::Cp1251),
    sort("Latin1_General_CP1251_CI_AS", 106, 0x0409, CodePage::Cp1251),
    sort("Ukrainian_CP1251_CS_AS", 107, 0x0422, CodePage::Cp1251),
    sort("Ukrainian_CP1251_CI_AS", 108, 0x0422, CodePage::Cp1251),
    sort("Latin1_General_CP1253_CS_AS", 113, 0x0409, CodePage::Cp1253),
    sort("Latin1_General_CP1253_CI_AS", 114, 0x0409, CodePage::Cp1253),
    sort("MixDiction_CP1253_CS_AS", 120, 0x0409, CodePage::Cp1253),
    sort("AltDiction_CP1253_CS_AS", 121, 0x0409, CodePage::Cp1253),
    sort("Latin1_General_CP1253_CI_AI", 124, 0x0409, CodePage::Cp1253),
    sort("Latin1_General_CP1254_CS_AS", 129, 0x041F, CodePage::Cp1254),
    sort("Latin1_General_CP1254_CI_AS", 130, 0x041F, CodePage::Cp1254),
    sort("Latin1_General_CP1255_CS_AS", 137, 0x0409, CodePage::Cp1255),
    sort("Latin1_General_CP1255_CI_AS", 138, 0x0409, CodePage::Cp1255),
    sort("Latin1_General_CP1256_CS_AS", 145, 0x0409, CodePage::Cp1256),
    sort("Latin1_General_CP1256_CI_AS", 146, 0x0409, CodePage::Cp1256),
    sort("Latin1_General_CP1257_CS_AS", 153, 0x0409, CodePage::Cp1257),
    sort("Latin1_General_CP1257_CI_AS", 154, 0x0409, CodePage::Cp1257),
    sort("Estonian_CP1257_CS_AS", 155, 0x0425, CodePage::Cp1257),
    sort("Estonian_CP1257_CI_AS", 156, 0x0425, CodePage::Cp1257),
    sort("Latvian_CP1257_CS_AS", 157, 0x0426, CodePage::Cp1257),
    sort("Latvian_CP1257_CI_AS", 158, 0x0426, CodePage::Cp1257),
    sort("Lithuanian_CP1257_CS_AS", 159, 0x0427, CodePage::Cp1257),
    sort("Lithuanian_CP1257_CI_AS", 160, 0x0427, CodePage::Cp1257),
    sort("Danish_Pref_CP1_CI_AS", 183, 0x0406, CodePage::Cp1252),
    sort("SwedishPhone_Pref_CP1_CI_AS", 184, 0x041D, CodePage::Cp1252),
    sort("SwedishStd_Pref_CP1_CI_AS", 185, 0x041D, CodePage::Cp1252),
    sort("Icelandic_Pref_CP1_CI_AS", 186, 0x040F, CodePage::Cp1252),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_collation_has_the_bytes_that_every_server_sends() {
        let info = CollationInfo::of(DEFAULT).unwrap();
        assert_eq!(info.wire(), DEFAULT_WIRE);
        assert_eq!(info.code_page, CodePage::Cp1252);
    }

    #[test]
    fn suffixes_become_flags() {
        let utf8 = CollationInfo::of("Latin1_General_100_CI_AS_SC_UTF8").unwrap();
        assert_eq!(utf8.wire(), [0x09, 0x04, 0xD0, 0x24, 0x00]);
        assert_eq!(utf8.code_page, CodePage::Utf8);
        let bin2 = CollationInfo::of("latin1_general_BIN2").unwrap();
        assert_eq!(bin2.wire(), [0x09, 0x04, 0x00, 0x02, 0x00]);
        let stroke = CollationInfo::of("Chinese_PRC_Stroke_CI_AS").unwrap();
        assert_eq!(stroke.lcid, 0x2_0804);
        let sensitive = CollationInfo::of("Latin1_General_CS_AI_KS_WS").unwrap();
        assert!(!sensitive.ignores_case() && sensitive.ignores_accent());
        for (name, supplementary) in [
            ("Latin1_General_100_CI_AS", false),
            ("Latin1_General_100_CI_AS_SC", true),
            ("Latin1_General_100_BIN2_UTF8", true),
            ("Japanese_XJIS_140_CI_AS", true),
            (DEFAULT, false),
        ] {
            let info = CollationInfo::of(name).unwrap();
            assert_eq!(info.supplementary, supplementary, "{name}");
        }
    }

    #[test]
    fn locales_go_over_the_wire() {
        for (name, wire) in [
            ("Danish_Norwegian_CI_AS", [0x06, 0x04, 0xD0, 0x00, 0]),
            ("Turkish_CI_AS", [0x1F, 0x04, 0xD0, 0x00, 0]),
            ("German_PhoneBook_CI_AS", [0x07, 0x04, 0xD1, 0x00, 0]),
            ("Traditional_Spanish_CS_AI", [0x0A, 0x04, 0xE0, 0x00, 0]),
            ("Welsh_100_CI_AS", [0x52, 0x04, 0xD0, 0x20, 0]),
        ] {
            assert_eq!(CollationInfo::of(name).unwrap().wire(), wire, "{name}");
        }
    }

    #[test]
    fn unknown_names_are_no_collations() {
        for name in [
            "",
            "Latin1_General",
            "Latin1_General_AS_CI",
            "Klingon_CI_AS",
            "SQL_CI_AS",
            "Latin1_GeneralX_CI_AS",
        ] {
            assert_eq!(CollationInfo::of(name), None, "{name}");
        }
    }

    #[test]
    fn a_code_page_is_found_again_in_the_wire_bytes() {
        for (designator, _, _) in LOCALES {
            let info = CollationInfo::of(&format!("{designator}_CI_AS")).unwrap();
            assert_eq!(
                code_page_of_wire(info.wire()),
                Some(info.code_page),
                "{designator}"
            );
        }
        for sort in SQL_SORTS {
            let info = CollationInfo::of(&format!("SQL_{}", sort.name)).unwrap();
            assert_eq!(code_page_of_wire(info.wire()), Some(info.code_page));
        }
    }
}
