//! Random values as T-SQL literals, with the extremes of every type.

use icesync_sandbox::collation::{CodePage, CollationInfo};
use icesync_sandbox::value::SqlType;
use std::collections::HashMap;
use std::sync::{Mutex, OnceLock};

/// SplitMix64: the same values for the same seed on every machine.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// 0 to `end`, exclusive.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len() as u64) as usize]
    }
}

/// One collation of every code page, and of every kind of comparison.
pub const COLLATIONS: [&str; 27] = [
    "SQL_Latin1_General_CP1_CI_AS",
    "Latin1_General_CI_AS",
    "Latin1_General_CS_AS",
    "Latin1_General_100_CI_AI_SC",
    "Latin1_General_BIN2",
    "Latin1_General_100_CI_AS_SC_UTF8",
    "Latin1_General_100_BIN2_UTF8",
    "SQL_Latin1_General_CP437_CI_AS",
    "SQL_Latin1_General_CP850_BIN2",
    "Thai_CI_AS",
    "Japanese_CI_AS",
    "Japanese_XJIS_140_CS_AS_KS_WS_VSS",
    "Chinese_PRC_CI_AS",
    "Korean_Wansung_CI_AS",
    "Chinese_Taiwan_Stroke_CI_AS",
    "Chinese_Taiwan_Stroke_BIN",
    "Polish_CI_AS",
    "Cyrillic_General_CI_AS",
    "Greek_CI_AI",
    "Turkish_CI_AS",
    "Hebrew_CI_AS",
    "Arabic_CI_AS",
    "Latvian_CI_AS",
    "Vietnamese_CI_AS",
    "SQL_Latin1_General_CP1251_CS_AS",
    "German_PhoneBook_CI_AS",
    "Indic_General_90_CI_AS",
];

pub fn code_page(collation: &str) -> CodePage {
    CollationInfo::of(collation)
        .unwrap_or_else(|| panic!("{collation} is a collation"))
        .code_page
}

/// Every character of the BMP that a code page has, the upper half first.
pub fn characters(page: CodePage) -> &'static [u16] {
    static KNOWN: OnceLock<Mutex<HashMap<CodePage, &'static [u16]>>> = OnceLock::new();
    let mut known = KNOWN.get_or_init(Mutex::default).lock().unwrap();
    known.entry(page).or_insert_with(|| {
        let printable = |unit: &u16| *unit >= 0x20 || matches!(unit, 9 | 10 | 13);
        let has = |unit: &u16| page.has(&[*unit]);
        let whole = (0u16..0xD800).chain(0xE000..=0xFFFF);
        let mut found: Vec<u16> = whole.filter(printable).filter(has).collect();
        found.sort_by_key(|unit| *unit < 0x80);
        found.leak()
    })
}

/// Text of up to `units` UTF-16 units that `page` has in at most `bytes` bytes; none: Unicode text.
pub fn text(rng: &mut Rng, page: Option<CodePage>, units: usize, bytes: usize) -> String {
    const UNICODE: [&str; 26] = [
        "a", "B", "z", "Z", "0", "9", " ", "'", "]", "\"", "\\", "\t", "\n", "\r", "%", "é", "ß",
        "İ", "ı", "訂", "\u{FEFF}", "\u{FFFD}", "\u{FFFF}", "e\u{301}", "😀", "𠮷",
    ];
    let length = match rng.below(8) {
        0 => 0,
        1 => 1,
        2 => units,
        _ => 1 + rng.below(units.clamp(1, 24) as u64) as usize,
    };
    let mut out = String::new();
    let (mut used_units, mut used_bytes) = (0, 0);
    while used_units < length {
        let piece = match page {
            None | Some(CodePage::Utf8) => match rng.below(3) {
                0 => char::from_u32(rng.below(0xD7FF) as u32 + 1)
                    .filter(|c| !c.is_control())
                    .unwrap_or('x')
                    .to_string(),
                _ => rng.pick(&UNICODE).to_owned(),
            },
            Some(page) => {
                let known = characters(page);
                let ascii = rng.chance(40);
                let from = if ascii {
                    known.len().saturating_sub(95)
                } else {
                    0
                };
                let at = from + rng.below((known.len() - from) as u64) as usize;
                String::from_utf16_lossy(&known[at..=at])
            }
        };
        let piece_units: Vec<u16> = piece.encode_utf16().collect();
        used_units += piece_units.len();
        used_bytes += page.map_or(0, |page| page.bytes(&piece_units).len());
        if used_units > units || used_bytes > bytes {
            break;
        }
        out.push_str(&piece);
    }
    if rng.chance(15) && used_units < units && used_bytes < bytes {
        out.push(' ');
    }
    out
}

pub fn quoted(text: &str) -> String {
    format!("N'{}'", text.replace('\'', "''"))
}

fn hex(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    format!("0x{digits}")
}

fn bytes(rng: &mut Rng, longest: usize) -> String {
    let length = match rng.below(6) {
        0 => 0,
        1 => longest,
        _ => rng.below(longest.min(40) as u64 + 1) as usize,
    };
    let mut out: Vec<u8> = (0..length).map(|_| rng.next() as u8).collect();
    if rng.chance(20)
        && let Some(last) = out.last_mut()
    {
        *last = 0;
    }
    hex(&out)
}

fn integer(rng: &mut Rng, least: i64, greatest: i64) -> String {
    match rng.below(5) {
        0 => least.to_string(),
        1 => greatest.to_string(),
        2 => 0.clamp(least, greatest).to_string(),
        3 => (rng.below(200) as i64 - 100)
            .clamp(least, greatest)
            .to_string(),
        _ => {
            let span = (i128::from(greatest) - i128::from(least) + 1) as u128;
            let offset = u128::from(rng.next()) % span;
            (i128::from(least) + offset as i128).to_string()
        }
    }
}

/// `digits` in all, `scale` of them behind the point.
pub fn decimal(rng: &mut Rng, precision: u8, scale: u8) -> String {
    let mut digits = match rng.below(5) {
        0 => "9".repeat(precision.into()),
        1 => "0".to_owned(),
        2 => "1".to_owned(),
        _ => {
            let count = 1 + rng.below(precision.into());
            (0..count)
                .map(|_| char::from(b'0' + rng.below(10) as u8))
                .collect()
        }
    };
    let scale = usize::from(scale);
    if digits.len() <= scale {
        digits = format!("{digits:0>width$}", width = scale + 1);
    }
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if rng.chance(50) { "-" } else { "" };
    match fraction {
        "" => format!("{sign}{whole}"),
        fraction => format!("{sign}{whole}.{fraction}"),
    }
}

fn float(rng: &mut Rng, real: bool) -> String {
    const DOUBLES: [f64; 9] = [
        0.0,
        -0.0,
        1.0,
        0.1,
        f64::MAX,
        f64::MIN,
        f64::MIN_POSITIVE,
        5e-324,
        -1.23e-310,
    ];
    const SINGLES: [f32; 9] = [
        0.0,
        -0.0,
        1.0,
        0.1,
        f32::MAX,
        f32::MIN,
        f32::MIN_POSITIVE,
        1e-45,
        -1.2e-40,
    ];
    let special = rng.chance(60);
    let at = rng.below(9) as usize;
    if real {
        let random = f32::from_bits(rng.next() as u32);
        let value = if special || !random.is_finite() {
            SINGLES[at]
        } else {
            random
        };
        format!("{value:e}")
    } else {
        let random = f64::from_bits(rng.next());
        let value = if special || !random.is_finite() {
            DOUBLES[at]
        } else {
            random
        };
        format!("{value:e}")
    }
}

/// `hh:mm:ss.f` with `scale` digits.
fn time_of_day(rng: &mut Rng, scale: u8) -> String {
    let (h, m, s, ticks) = match rng.below(4) {
        0 => (0, 0, 0, 0),
        1 => (23, 59, 59, 9_999_999),
        _ => (
            rng.below(24),
            rng.below(60),
            rng.below(60),
            rng.below(10_000_000),
        ),
    };
    let digits = format!("{ticks:07}");
    match scale {
        0 => format!("{h:02}:{m:02}:{s:02}"),
        scale => format!("{h:02}:{m:02}:{s:02}.{}", &digits[..scale.into()]),
    }
}

fn day(rng: &mut Rng, first: (u64, &str), last: (u64, &str)) -> String {
    match rng.below(5) {
        0 => first.1.to_owned(),
        1 => last.1.to_owned(),
        2 => "2000-02-29".to_owned(),
        _ => {
            let year = first.0 + 1 + rng.below(last.0 - first.0 - 1);
            format!(
                "{year:04}-{:02}-{:02}",
                1 + rng.below(12),
                1 + rng.below(28)
            )
        }
    }
}

fn guid(rng: &mut Rng) -> String {
    let bits = match rng.below(4) {
        0 => 0,
        1 => u128::MAX,
        _ => u128::from(rng.next()) << 64 | u128::from(rng.next()),
    };
    let text = format!("{bits:032X}");
    format!(
        "'{}-{}-{}-{}-{}'",
        &text[..8],
        &text[8..12],
        &text[12..16],
        &text[16..20],
        &text[20..]
    )
}

fn point(rng: &mut Rng) -> String {
    let srid = [0i32, 4326, 3857][rng.below(3) as usize];
    let mut out = srid.to_le_bytes().to_vec();
    out.extend([1, 0x0C]);
    for limit in [90, 180] {
        let degrees = rng.below(2 * limit * 1000) as f64 / 1000.0 - limit as f64;
        out.extend(degrees.to_le_bytes());
    }
    hex(&out)
}

fn xml(rng: &mut Rng) -> String {
    let body: String = text(rng, None, 30, usize::MAX)
        .chars()
        .filter(|c| !matches!(*c, '<' | '&' | '>' | '\r' | '\u{FFFF}' | '\u{FEFF}'))
        .collect();
    match rng.below(4) {
        0 => "N'<a/>'".to_owned(),
        1 => quoted(&format!("<r x=\"1\"><b>{body}</b>é😀</r>")),
        2 => quoted(&format!(
            "<r>{}</r>",
            "長い".repeat(1 + rng.below(3000) as usize)
        )),
        _ => quoted(&format!("<b>t{body}t</b>")),
    }
}

/// A value of a type, not NULL. `wide`: a `max` value may be longer than a sized type could hold.
pub fn literal(rng: &mut Rng, ty: &SqlType, collation: Option<&str>) -> String {
    let page = collation.map(code_page);
    let page_units = |page: Option<CodePage>| page.filter(|page| *page != CodePage::UnicodeOnly);
    let long = |rng: &mut Rng| {
        if rng.chance(4) {
            9_000 + rng.below(4_000) as usize
        } else {
            60
        }
    };
    match ty {
        SqlType::Bit => rng.below(2).to_string(),
        SqlType::TinyInt => integer(rng, 0, 255),
        SqlType::SmallInt => integer(rng, i16::MIN.into(), i16::MAX.into()),
        SqlType::Int => integer(rng, i32::MIN.into(), i32::MAX.into()),
        SqlType::BigInt => integer(rng, i64::MIN, i64::MAX),
        SqlType::Decimal {
            precision, scale, ..
        } => decimal(rng, *precision, *scale),
        SqlType::Money => match rng.below(4) {
            0 => "-922337203685477.5808".to_owned(),
            1 => "922337203685477.5807".to_owned(),
            _ => decimal(rng, 18, 4),
        },
        SqlType::SmallMoney => match rng.below(4) {
            0 => "-214748.3648".to_owned(),
            1 => "214748.3647".to_owned(),
            _ => decimal(rng, 9, 4),
        },
        SqlType::Real => float(rng, true),
        SqlType::Float => float(rng, false),
        SqlType::Date => format!("'{}'", day(rng, (1, "0001-01-01"), (9999, "9999-12-31"))),
        SqlType::Time(scale) => format!("'{}'", time_of_day(rng, *scale)),
        SqlType::DateTime => {
            let time = match rng.below(4) {
                0 => "00:00:00".to_owned(),
                1 => "23:59:59.997".to_owned(),
                _ => time_of_day(rng, 2) + rng.pick(&["0", "3", "7"]),
            };
            let time = time.replace("23:59:59.999", "23:59:59.997");
            format!(
                "'{}T{time}'",
                day(rng, (1753, "1753-01-01"), (9999, "9999-12-31"))
                    .replace("9999-12-31", "9999-12-30")
            )
        }
        SqlType::SmallDateTime => {
            let date = day(rng, (1900, "1900-01-01"), (2079, "2079-06-06"));
            let date = if date.as_str() > "2079-06-06" {
                "2079-06-06".to_owned()
            } else {
                date
            };
            format!("'{date}T{:02}:{:02}:00'", rng.below(24), rng.below(60))
        }
        SqlType::DateTime2(scale) => {
            let date = day(rng, (1, "0001-01-01"), (9999, "9999-12-31"));
            format!("'{date} {}'", time_of_day(rng, *scale))
        }
        SqlType::DateTimeOffset(scale) => {
            let date = day(rng, (1, "0001-01-01"), (9999, "9999-12-31"));
            // UTC must be within the years too.
            let offset = match (&date[..4], rng.below(5)) {
                (_, 0) => "+00:00".to_owned(),
                ("0001", _) => "-14:00".to_owned(),
                ("9999", _) => "+14:00".to_owned(),
                (_, 1) => "-13:59".to_owned(),
                (_, 2) => "+05:45".to_owned(),
                _ => format!("+{:02}:{:02}", rng.below(14), rng.below(60)),
            };
            format!("'{date} {} {offset}'", time_of_day(rng, *scale))
        }
        SqlType::Char(n) | SqlType::VarChar(Some(n)) => {
            quoted(&text(rng, page, usize::from(*n), usize::from(*n)))
        }
        SqlType::VarChar(None) | SqlType::Text => {
            let units = long(rng);
            quoted(&text(rng, page, units, usize::MAX))
        }
        SqlType::NChar(n) | SqlType::NVarChar(Some(n)) => {
            quoted(&text(rng, None, usize::from(*n), usize::MAX))
        }
        SqlType::NVarChar(None) | SqlType::NText => {
            let units = long(rng);
            quoted(&text(rng, page_units(None), units, usize::MAX))
        }
        SqlType::Binary(n) | SqlType::VarBinary(Some(n)) => bytes(rng, usize::from(*n)),
        SqlType::VarBinary(None) | SqlType::Image => {
            let longest = long(rng);
            bytes(rng, longest)
        }
        SqlType::UniqueIdentifier => guid(rng),
        SqlType::RowVersion => panic!("a rowversion is the server's"),
        SqlType::Xml => xml(rng),
        SqlType::SqlVariant => variant(rng),
        SqlType::HierarchyId => {
            let path = rng.pick(&["0x", "0x58", "0x68", "0x5AC0", "0x5B40", "0x6AC0", "0x84"]);
            format!("CONVERT(hierarchyid, {path})")
        }
        SqlType::Geometry => format!("CONVERT(geometry, {})", point(rng)),
        SqlType::Geography => format!("CONVERT(geography, {})", point(rng)),
    }
}

/// A base type and a value of it.
fn variant(rng: &mut Rng) -> String {
    let ty = super::tables::variant_base(rng);
    let declared = super::tables::declared(&ty);
    let value = if super::tables::is_character(&ty) {
        let collation = rng.pick(&COLLATIONS);
        let page = Some(collation).filter(|name| code_page(name) != CodePage::UnicodeOnly);
        let collation = page.unwrap_or("Polish_CI_AS");
        let value = literal(rng, &ty, Some(collation));
        format!("{value} COLLATE {collation}")
    } else {
        literal(rng, &ty, None)
    };
    format!("CONVERT(sql_variant, CONVERT({declared}, {value}))")
}
