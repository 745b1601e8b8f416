//! Exact decimal arithmetic with SQL Server's rules for the result's precision and scale.
//!
//! Products and dividends pass 128 bits, so they are held in 256 and brought to the result's scale before the
//! overflow check.

use crate::engine::fault::{error, overflow};
use crate::session::SqlError;

pub const POWERS: [i128; 39] = {
    let mut table = [1i128; 39];
    let mut i = 1;
    while i < 39 {
        table[i] = table[i - 1] * 10;
        i += 1;
    }
    table
};

/// How many decimal digits the magnitude has (0 has none).
pub fn digits(value: i128) -> u8 {
    let magnitude = value.unsigned_abs();
    POWERS
        .iter()
        .position(|power| magnitude < power.unsigned_abs())
        .unwrap_or(39) as u8
}

/// Precision and scale of a sum's parts: the integral digits stay, the scale gives way at 38.
pub fn fit_additive(integral: u8, scale: u8) -> (u8, u8) {
    if integral + scale <= 38 {
        ((integral + scale).max(1), scale)
    } else {
        (38, 38 - integral.min(38))
    }
}

fn fit_multiplicative(precision: u16, scale: u16) -> (u8, u8) {
    if precision <= 38 {
        return (precision as u8, scale as u8);
    }
    let integral = precision - scale;
    let scale = if integral < 32 {
        scale.min(38 - integral)
    } else {
        scale.min(6)
    };
    (38, scale as u8)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

/// The result's precision and scale.
pub fn result(op: Arithmetic, (p1, s1): (u8, u8), (p2, s2): (u8, u8)) -> (u8, u8) {
    let (wide1, wide2) = (u16::from(p1), u16::from(p2));
    let (ws1, ws2) = (u16::from(s1), u16::from(s2));
    match op {
        Arithmetic::Add | Arithmetic::Subtract => {
            let integral = (p1 - s1).max(p2 - s2);
            let scale = s1.max(s2);
            if integral + scale < 38 {
                (integral + scale + 1, scale)
            } else {
                fit_additive(integral, scale)
            }
        }
        Arithmetic::Multiply => fit_multiplicative(wide1 + wide2 + 1, ws1 + ws2),
        Arithmetic::Divide => {
            let scale = (ws1 + wide2 + 1).max(6);
            fit_multiplicative(wide1 - ws1 + ws2 + scale, scale)
        }
        Arithmetic::Modulo => {
            let scale = s1.max(s2);
            (((p1 - s1).min(p2 - s2) + scale).clamp(1, 38), scale)
        }
    }
}

/// Brings a value to another scale, half away from zero; none on overflow of 128 bits.
pub fn rescale(value: i128, from: u8, to: u8) -> Option<i128> {
    if to >= from {
        return value.checked_mul(*POWERS.get(usize::from(to - from))?);
    }
    let Some(divisor) = POWERS.get(usize::from(from - to)) else {
        return Some(0);
    };
    let (quotient, remainder) = (value / divisor, value % divisor);
    let round = remainder.unsigned_abs() >= divisor.unsigned_abs().div_ceil(2);
    Some(quotient + if round { value.signum() } else { 0 })
}

/// Rescales and checks the precision; error 8115.
pub fn fit(value: i128, from: u8, precision: u8, scale: u8) -> Result<i128, SqlError> {
    rescale(value, from, scale)
        .filter(|fitted| digits(*fitted) <= precision)
        .ok_or_else(|| overflow("numeric"))
}

/// Computes on two decimals; the result has the scale that [`result`] gave.
pub fn compute(
    op: Arithmetic,
    (a, s1): (i128, u8),
    (b, s2): (i128, u8),
    (precision, scale): (u8, u8),
) -> Result<i128, SqlError> {
    let out = match op {
        Arithmetic::Add | Arithmetic::Subtract => {
            let widest = s1.max(s2);
            let left = Wide::product(a, POWERS[usize::from(widest - s1)]);
            let right = Wide::product(b, POWERS[usize::from(widest - s2)]);
            let sum = if op == Arithmetic::Add {
                left.add(right)
            } else {
                left.add(right.negate())
            };
            sum.scaled(widest, scale)
        }
        Arithmetic::Multiply => Wide::product(a, b).scaled(s1 + s2, scale),
        Arithmetic::Divide => {
            if b == 0 {
                return Err(divide_by_zero());
            }
            // a / 10^s1 / (b / 10^s2) at `scale`: a * 10^(scale + s2 - s1) / b, truncated as SQL Server does.
            let shift = i16::from(scale) + i16::from(s2) - i16::from(s1);
            if shift < 0 {
                return Ok(a / POWERS[usize::from(shift.unsigned_abs())] / b);
            }
            let shift = shift as usize;
            let first = shift.min(38);
            let mut wide = Wide::product(a, POWERS[first]);
            if shift > first {
                wide = wide
                    .times(POWERS[shift - first].unsigned_abs())
                    .ok_or_else(|| overflow("numeric"))?;
            }
            wide.divide(b.unsigned_abs(), b < 0, false)
        }
        Arithmetic::Modulo => {
            if b == 0 {
                return Err(divide_by_zero());
            }
            let widest = s1.max(s2);
            let left = a.checked_mul(POWERS[usize::from(widest - s1)]);
            let right = b.checked_mul(POWERS[usize::from(widest - s2)]);
            match (left, right) {
                (Some(left), Some(right)) => Some(left % right),
                _ => None,
            }
        }
    };
    out.filter(|value| digits(*value) <= precision)
        .ok_or_else(|| overflow("numeric"))
}

pub fn divide_by_zero() -> SqlError {
    error(8134, 16, "Divide by zero error encountered.")
}

/// A sign and 256 bits of magnitude.
#[derive(Clone, Copy)]
struct Wide {
    negative: bool,
    high: u128,
    low: u128,
}

impl Wide {
    fn product(a: i128, b: i128) -> Self {
        let (x, y) = (a.unsigned_abs(), b.unsigned_abs());
        let negative = (a < 0) != (b < 0);
        if let Some(low) = x.checked_mul(y) {
            return Self {
                negative,
                high: 0,
                low,
            };
        }
        let mask = u128::from(u64::MAX);
        let (x1, x0, y1, y0) = (x >> 64, x & mask, y >> 64, y & mask);
        let (low, mid1, mid2) = (x0 * y0, x1 * y0, x0 * y1);
        let middle = (low >> 64) + (mid1 & mask) + (mid2 & mask);
        Self {
            negative,
            high: x1 * y1 + (mid1 >> 64) + (mid2 >> 64) + (middle >> 64),
            low: (low & mask) | (middle << 64),
        }
    }

    fn negate(self) -> Self {
        Self {
            negative: !self.negative,
            ..self
        }
    }

    fn times(self, factor: u128) -> Option<Self> {
        let low = Self::product(self.low.try_into().ok()?, factor.try_into().ok()?);
        let high = self.high.checked_mul(factor)?.checked_add(low.high)?;
        Some(Self {
            negative: self.negative,
            high,
            low: low.low,
        })
    }

    fn add(self, other: Self) -> Self {
        if self.negative == other.negative {
            let (low, carry) = self.low.overflowing_add(other.low);
            return Self {
                negative: self.negative,
                high: self.high + other.high + u128::from(carry),
                low,
            };
        }
        let (big, small) = if (self.high, self.low) >= (other.high, other.low) {
            (self, other)
        } else {
            (other, self)
        };
        let (low, borrow) = big.low.overflowing_sub(small.low);
        Self {
            negative: big.negative,
            high: big.high - small.high - u128::from(borrow),
            low,
        }
    }

    fn scaled(self, from: u8, to: u8) -> Option<i128> {
        if to >= from {
            return self
                .times(POWERS[usize::from(to - from)].unsigned_abs())?
                .narrow();
        }
        let mut wide = self;
        let mut drop = usize::from(from - to);
        while drop > 38 {
            wide = Self {
                negative: wide.negative,
                high: 0,
                low: wide
                    .divide(POWERS[1].unsigned_abs(), false, false)?
                    .unsigned_abs(),
            };
            drop -= 1;
        }
        wide.divide(POWERS[drop].unsigned_abs(), false, true)
    }

    fn narrow(self) -> Option<i128> {
        if self.high != 0 {
            return None;
        }
        let magnitude = i128::try_from(self.low).ok()?;
        Some(if self.negative { -magnitude } else { magnitude })
    }

    fn divide(self, divisor: u128, negate: bool, round: bool) -> Option<i128> {
        let negative = self.negative != negate;
        let (quotient, remainder) = if self.high == 0 {
            (self.low / divisor, self.low % divisor)
        } else {
            if self.high >= divisor {
                return None;
            }
            let (mut quotient, mut remainder) = (0u128, self.high);
            for bit in (0..128).rev() {
                let carry = remainder >> 127;
                remainder = (remainder << 1) | ((self.low >> bit) & 1);
                quotient <<= 1;
                if carry == 1 || remainder >= divisor {
                    remainder = remainder.wrapping_sub(divisor);
                    quotient |= 1;
                }
            }
            (quotient, remainder)
        };
        let up = round && remainder >= divisor.div_ceil(2);
        Self {
            negative,
            high: 0,
            low: quotient.checked_add(u128::from(up))?,
        }
        .narrow()
    }
}

/// `123.45` for (12345, 2).
pub fn display(value: i128, scale: u8) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let digits = value.unsigned_abs().to_string();
    if scale == 0 {
        return format!("{sign}{digits}");
    }
    let scale = usize::from(scale);
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    format!("{sign}{whole}.{fraction}")
}

/// Reads `[+-]digits[.digits]`: the unscaled value and its scale.
pub fn parse(text: &str) -> Option<(i128, u8)> {
    let text = text.trim();
    let (negative, body) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (whole, fraction) = body.split_once('.').unwrap_or((body, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value = 0i128;
    for byte in whole.bytes().chain(fraction.bytes()) {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value
            .checked_mul(10)?
            .checked_add(i128::from(byte - b'0'))?;
    }
    Some((
        if negative { -value } else { value },
        u8::try_from(fraction.len()).ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_types_follow_the_published_rules() {
        assert_eq!(result(Arithmetic::Add, (10, 2), (5, 4)), (13, 4));
        assert_eq!(result(Arithmetic::Multiply, (10, 2), (5, 4)), (16, 6));
        assert_eq!(result(Arithmetic::Divide, (5, 2), (10, 0)), (16, 13));
        assert_eq!(result(Arithmetic::Divide, (38, 10), (38, 10)), (38, 6));
        assert_eq!(result(Arithmetic::Multiply, (38, 20), (38, 20)), (38, 6));
    }

    #[test]
    fn products_wider_than_128_bits_are_exact() {
        let a = 99_999_999_999_999_999_999_999_999_999_999_999i128;
        let product = compute(Arithmetic::Multiply, (a, 20), (a, 20), (38, 6)).unwrap();
        assert_eq!(display(product, 6), "999999999999999999999999999999.999980");
        assert_eq!(
            compute(Arithmetic::Divide, (20, 1), (3, 0), (8, 6)).unwrap(),
            666_666
        );
        assert_eq!(
            compute(Arithmetic::Divide, (1, 0), (0, 0), (8, 6))
                .unwrap_err()
                .number,
            8134
        );
    }

    #[test]
    fn rounding_is_half_away_from_zero() {
        assert_eq!(rescale(-125, 2, 1), Some(-13));
        assert_eq!(rescale(124, 2, 1), Some(12));
        assert_eq!(display(-5, 3), "-0.005");
        assert_eq!(parse("-0.005"), Some((-5, 3)));
    }
}
